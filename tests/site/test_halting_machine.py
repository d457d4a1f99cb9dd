"""The parity machine in a real browser: taken step by step by mouse and by keys, and shared."""

import json
import re
from pathlib import Path

import nbformat
import pytest
from lab import DEADLINE_SECONDS, jupyter_lab, run_first_cell
from made_up_steps import machine

from extensions import palette_css
from extensions.security_policy import guard
from payattention.explorables import bundle
from payattention.explorables.halting_machine import signs

CHAPTER = "chapters/adaptive_compute.html"
LOADER = Path(__file__).parents[2] / "extensions" / "face" / "explorables-loader.js"
AXE = Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js"
TESTS = Path(__file__).parents[1]
PHONE = 390
RULES = ("ACT", "PonderNet")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pages with the figure: one, and two of them."""
    folder = tmp_path_factory.mktemp("halting_machine")
    static = folder / "_static" / "explorables"
    static.mkdir(parents=True)
    script = bundle.classic_script("halting_machine")
    (static / "halting_machine.js").write_text(script, encoding="utf-8")
    loader = bundle.static_model() + "\n" + LOADER.read_text(encoding="utf-8")
    (static / "loader.js").write_text(loader, encoding="utf-8")
    sheet = palette_css.style_sheet(palette_css.read()) + bundle.stylesheet()
    sheet += "body { background: var(--pa-paper); color: var(--pa-ink); margin: 16px; }"
    sheet += "main { max-width: 48rem; }"
    (static / "explorables.css").write_text(sheet, encoding="utf-8")
    one, other = machine().fallback(), machine(rule="PonderNet", vector=[1, -1]).fallback()
    for name, figures in {"index": one, "two": one + other}.items():
        page = (
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Machine</title>'
            '<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
            '<link rel="stylesheet" href="_static/explorables/explorables.css">'
            '<script defer src="_static/explorables/loader.js"></script></head>'
            f"<body><main><h1>Machine</h1>{figures}</main></body></html>"
        )
        (folder / f"{name}.html").write_text(guard(page), encoding="utf-8")
    return folder


@pytest.fixture
def opened(visit, folder):
    """The page from disk, awake; at the end nothing was asked of others, and nothing went wrong."""
    logs = []

    def open_page(name="index", fragment="", address=None, **settings):
        page, log = visit(f"{address or folder.as_uri()}/{name}.html{fragment}", **settings)
        logs.append(log)
        return page

    yield open_page
    for log in logs:
        assert (log.foreign, log.failed, log.complaints, log.violations) == ([], [], [], [])


def rule(page):
    return page.get_by_role("combobox", name="Rule:").first


def places(page):
    return page.get_by_role("slider", name=re.compile("^Places")).first


def step(page):
    return page.get_by_role("slider", name=re.compile("^Step")).first


def place(page, number):
    return page.get_by_role("button", name=re.compile(f"^Place {number}:")).first


def onwards(page):
    return page.locator(".explorable-onwards").first


def told(page):
    """All that is said of where the machine stands."""
    texts = page.locator(".explorable-body").first.locator(
        ".explorable-finding, .explorable-reckoning"
    )
    return texts.all_inner_texts()


def said(figure):
    return [figure.sentence(), figure.reckoning()]


def choose(page, vector):
    """Places turned until the vector is this."""
    places(page).fill(str(len(vector) - 1))
    for number, sign in enumerate(vector, start=1):
        if place(page, number).inner_text() != str(sign).replace("-", "−"):
            place(page, number).click()


def rows(page):
    """Cells of the table, row by row."""
    return page.locator(".explorable-halting").first.evaluate(
        "table => [...table.tBodies[0].rows].map(row => [...row.cells].map(c => c.innerText))"
    )


@pytest.mark.parametrize("name", RULES)
def test_every_step_is_told_as_python_does(opened, name):
    page = opened()
    rule(page).select_option(name)
    for text in ("+", "-+", "++-", "-+-+", "+--+"):
        choose(page, signs(text))
        figure = machine(rule=name, vector=signs(text))
        depth = len(figure.runs[name][text]["steps"])
        for taken in range(1, depth + 1):
            figure.step = taken
            assert told(page) == said(figure)
            assert figure.tally(name) in page.locator(".explorable-body").first.inner_text()
            words = page.locator(".explorable-body").first.inner_text()
            assert not re.search(r"NaN|undefined|null|\{\w+\}", words)
            assert onwards(page).inner_text() == (
                "From step 1 again" if taken == depth else "Next step"
            )
            onwards(page).click()
        figure.step = 1
        assert told(page) == said(figure)


@pytest.mark.parametrize("name", RULES)
def test_what_comes_is_hidden_until_it_is_reached(opened, name):
    """Neither the table, nor the bar, nor a ring, nor the slider tells the number of steps."""
    page = opened()
    figure = machine(rule=name)
    rule(page).select_option(name)
    steps = figure.runs[name]["-+++"]["steps"]
    choose(page, signs("-+++"))
    for taken in range(1, len(steps) + 1):
        found = rows(page)
        assert len(found) == figure.most == int(step(page).get_attribute("max")) + 1
        for number, cells in enumerate(found, start=1):
            assert cells[0] == str(number)
            if number > taken:
                assert cells[1:] == ["·"] * 4
            else:
                amount, share, _ = steps[number - 1]
                assert (cells[1], cells[3]) == (f"{amount / 100:.2f}", f"{share / 100:.2f}")
        ends = taken == len(steps)
        assert page.locator("[data-halts]").count() == ends
        assert page.locator('circle[fill="none"]').count() == ends
        drawing = page.get_by_role("img", name=re.compile("given so far"))
        assert drawing.get_attribute("aria-label").count("at step") == taken
        segments = page.locator(".explorable-canvas").first.locator(
            'rect[fill="var(--explorable-recurrence)"]'
        )
        assert segments.count() == sum(share > 0 for _, share, _ in steps[:taken])
        onwards(page).click()


def test_segments_pile_up_to_the_whole(opened):
    page = opened()
    figure = machine()
    step(page).fill(step(page).get_attribute("max"))
    found = page.locator(".explorable-canvas").first.evaluate(
        """canvas => {
          const rects = [...canvas.querySelectorAll("rect")];
          const all = rects.map(r => [r.x.baseVal.value, r.width.baseVal.value]);
          return [all[0], all.slice(1)];
        }"""
    )
    (left, width), segments = found
    shares = [share for _, share, _ in figure._run()["steps"] if share]
    ends = [(x - left) / width * 100 for x, _ in segments]
    assert ends == pytest.approx([sum(shares[:i]) for i in range(len(shares))], abs=0.01)
    x, last = segments[-1]
    assert x + last == pytest.approx(left + width, abs=1.01)


def test_a_step_past_the_last_one_is_the_last(opened):
    page = opened()
    figure = machine()
    step(page).fill(step(page).get_attribute("max"))
    depth = len(figure._run()["steps"])
    assert step(page).input_value() == str(depth - 1)
    assert step(page).get_attribute("aria-valuetext") == str(depth)
    figure.step = depth
    assert told(page) == said(figure)


def test_zeros_stand_behind_and_cannot_be_turned(opened):
    page = opened()
    places(page).fill("1")
    assert [place(page, number).inner_text() for number in (3, 4)] == ["0", "0"]
    assert place(page, 3).is_disabled() and place(page, 2).is_enabled()
    places(page).fill("3")
    assert [place(page, number).inner_text() for number in (3, 4)] == ["1", "1"]
    place(page, 4).click()
    assert place(page, 4).inner_text() == "−1"
    assert place(page, 4).get_attribute("aria-label") == "Place 4: −1"


def test_the_chosen_column_is_marked(opened):
    page = opened()
    centres = []
    for many in range(4):
        places(page).fill(str(many))
        drawing = page.get_by_role("img", name=re.compile("mean and range"))
        x, width = drawing.locator("rect").evaluate(
            "r => [r.x.baseVal.value, r.width.baseVal.value]"
        )
        ticks = drawing.locator("text", has_text=re.compile(f"^{many + 1}$")).last
        assert x + width / 2 == pytest.approx(float(ticks.get_attribute("x")), abs=0.5)
        centres.append(x)
    assert centres == sorted(centres)
    depths = [len(run["steps"]) for run in machine().runs["ACT"].values()]
    assert drawing.locator('circle:not([fill="none"])').count() <= len(depths)


def test_by_keyboard_alone(opened):
    page = opened()
    rule(page).focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Home")
    figure = machine(vector=[-1])
    assert told(page) == said(figure)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # the only place that is not zero is turned, and keeps the focus
    figure.vector = [1]
    assert told(page) == said(figure)
    assert place(page, 1).evaluate("node => node === document.activeElement")
    page.keyboard.press("Tab")
    assert step(page).evaluate("node => node === document.activeElement")
    page.keyboard.press("ArrowRight")
    figure.step = 2
    assert told(page) == said(figure)
    page.keyboard.press("Tab")
    for _ in range(len(figure.runs["ACT"]["+"]["steps"]) - 1):
        page.keyboard.press(" ")
    figure.step = 1
    assert told(page) == said(figure)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # start again
    assert told(page) == said(machine())


def test_it_is_heard_once_the_hand_rests(opened):
    page = opened()
    onwards(page).click()
    figure = machine(step=2)
    status = page.get_by_role("status")
    status.filter(has_text=figure.reckoning()[-40:]).wait_for(state="attached")
    assert status.text_content() == " ".join(said(figure))
    rule(page).select_option("PonderNet")
    figure = machine(rule="PonderNet")
    status.filter(has_text="PonderNet answers").wait_for(state="attached")
    assert status.text_content() == " ".join([*said(figure), figure.tally("PonderNet")])


def test_the_address_follows_and_opens_what_was_shared(opened, serve, folder):
    page = opened()
    rule(page).select_option("PonderNet")
    choose(page, [1, -1, 1])
    step(page).fill("1")
    figure = machine(rule="PonderNet", vector=[1, -1, 1], step=2)
    taken = min(2, len(figure._run()["steps"]))
    shared = f"#halting_machine?rule=PonderNet&vector=1,-1,1{f'&step={taken}' * (taken > 1)}"
    page.wait_for_function("wanted => location.hash === wanted", arg=shared)
    page.get_by_role("button", name="Start again").click()
    page.wait_for_function("() => location.hash === ''")
    with serve(folder) as address:
        again = opened("index", shared, address)
        assert told(again) == said(figure)
        again.evaluate("location.hash = '#halting_machine?rule=LSTM&vector=-1,1&step=99'")
        again.wait_for_function(
            "() => document.querySelector('[aria-label^=\"Place 1\"]').textContent === '−1'"
        )
        assert told(again) == said(machine(vector=[-1, 1]))


def test_the_first_of_two_has_the_address(opened):
    page = opened("two", "#halting_machine?vector=-1,-1,-1")
    lists = page.get_by_role("combobox", name="Rule:")
    assert [one.input_value() for one in lists.all()] == ["ACT", "PonderNet"]
    assert told(page) == said(machine(vector=[-1, -1, -1]))
    assert page.locator(".explorable-note", has_text="The address").count() == 1


@pytest.mark.parametrize("width", [320, PHONE, 700, 1280])
def test_it_fits_and_no_words_meet(opened, width):
    page = opened(width=width)
    for name in RULES:
        rule(page).select_option(name)
        for vector in ([1], [1, -1, 1], [-1, 1, 1, 1]):
            choose(page, vector)
            for position in range(machine().most):
                step(page).fill(str(position))
                assert page.evaluate("document.documentElement.scrollWidth") <= width
                boxes = page.locator(".explorable-live text").evaluate_all(
                    "all => all.map(t => [t.textContent, ...['left', 'right', 'top', 'bottom']"
                    ".map(side => t.getBoundingClientRect()[side])])"
                )
                for i, (one, left, right, top, bottom) in enumerate(boxes):
                    assert left >= 0 and right <= width, one
                    for other, left2, right2, top2, bottom2 in boxes[i + 1 :]:
                        apart = right <= left2 or right2 <= left
                        apart = apart or bottom - 3 <= top2 or bottom2 - 3 <= top
                        assert apart, (one, other)


@pytest.mark.parametrize("width", [PHONE, 1280])
def test_nothing_below_moves_when_a_step_is_taken(opened, width):
    page = opened(width=width)
    tops = set()
    for name in RULES:
        rule(page).select_option(name)
        for text in ("+", "-", "+-+", "-+++", "+---"):
            choose(page, signs(text))
            for position in range(machine().most):
                step(page).fill(str(position))
                tops.add(
                    tuple(
                        page.locator(place).first.evaluate(
                            "node => node.getBoundingClientRect().top + scrollY"
                        )
                        for place in (".explorable-canvas", ".explorable-halting")
                    )
                )
    assert len(tops) == 1


@pytest.mark.parametrize(("theme", "width"), [("dark", 1280), ("light", PHONE)])
def test_axe_finds_no_violation(opened, serve, folder, theme, width):
    with serve(folder) as address:  # axe reads the style sheet again
        fragment = "#halting_machine?vector=1,-1,1&step=3"
        page = opened("two", fragment, address, width=width)
        page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
        page.evaluate(AXE.read_text(encoding="utf8"))
        found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
    assert [f"{rule['id']}: {rule['nodes'][0]['html'][:200]}" for rule in found] == []


def test_in_a_notebook_the_keys_are_the_figures_own(visit, tmp_path):
    """JupyterLab has commands of its own for the arrow keys."""
    pytest.importorskip("jupyterlab")
    source = (TESTS / "made_up_steps.py").read_text(encoding="utf-8")
    (tmp_path / "made_up_steps.py").write_text(source, encoding="utf-8")
    cell = "from made_up_steps import machine\n\nmachine(vector=[-1, 1, 1, 1])"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, tmp_path / "halting_machine.ipynb")
    with jupyter_lab(tmp_path) as address:
        page, _ = visit(f"{address}/lab/tree/halting_machine.ipynb?reset", awake=False)
        page.set_default_timeout(DEADLINE_SECONDS * 1000)
        run_first_cell(page)
        step(page).focus()
        page.keyboard.press("ArrowRight")
        assert told(page) == said(machine(vector=[-1, 1, 1, 1], step=2))
        assert page.locator(".explorable-note", has_text="The address").count() == 0


def test_it_lives_in_its_chapter(visit, address, site):
    page, log = visit(f"{address}/{CHAPTER}")
    figure = page.locator('figure[data-explorable="halting_machine"]')
    figure.locator(".explorable-finding", has_text=re.compile(r"\d")).wait_for()
    state = json.loads(figure.locator('script[type="application/json"]').text_content())
    assert len(json.dumps(state)) < 60_000
    places(figure).fill("0")
    step(figure).fill(step(figure).get_attribute("max"))
    assert re.search(r"ACT halts at step \d.*which is right", told(figure)[0])
    assert (log.foreign, log.failed, log.complaints, log.violations) == ([], [], [], [])
