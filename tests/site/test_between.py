"""The figure between two images in a real browser: moved by slider, mouse and finger, shared."""

import json
import re
from pathlib import Path

import nbformat
import pytest
from lab import DEADLINE_SECONDS, jupyter_lab, run_first_cell
from made_up_answers import PLACES, between

from extensions import palette_css
from extensions.security_policy import guard
from payattention import data
from payattention.explorables import bundle
from payattention.explorables.between import unpacked

CHAPTER = "chapters/mixup.html"
LOADER = Path(__file__).parents[2] / "extensions" / "face" / "explorables-loader.js"
AXE = Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js"
TESTS = Path(__file__).parents[1]
PHONE = 390
CLASSES = data.FASHION_CLASSES


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pages with the figure: one, and two of them."""
    folder = tmp_path_factory.mktemp("between")
    static = folder / "_static" / "explorables"
    static.mkdir(parents=True)
    (static / "between.js").write_text(bundle.classic_script("between"), encoding="utf-8")
    loader = bundle.static_model() + "\n" + LOADER.read_text(encoding="utf-8")
    (static / "loader.js").write_text(loader, encoding="utf-8")
    sheet = palette_css.style_sheet(palette_css.read()) + bundle.stylesheet()
    sheet += "body { background: var(--pa-paper); color: var(--pa-ink); margin: 16px; }"
    sheet += "main { max-width: 48rem; }"
    (static / "explorables.css").write_text(sheet, encoding="utf-8")
    one, other = between().fallback(), between(pair=3, share=0.2).fallback()
    for name, figures in {"index": one, "two": one + other}.items():
        page = (
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Between</title>'
            '<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
            '<link rel="stylesheet" href="_static/explorables/explorables.css">'
            '<script defer src="_static/explorables/loader.js"></script></head>'
            f"<body><main><h1>Between</h1>{figures}</main></body></html>"
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


def pair(page):
    return page.get_by_role("combobox", name="Two images:").first


def slider(page):
    return page.get_by_role("slider", name=re.compile("^Share of")).first


def slide(page, position):
    slider(page).fill(str(position))


def finding(page):
    return page.locator(".explorable-finding").first.inner_text()


def told(page):
    """All that is said: at the share, and along the line."""
    along = page.locator(".explorable-sheets .explorable-note").all_inner_texts()
    return " ".join([finding(page), *along])


def charts(page):
    return page.locator(".explorable-drag svg")


def share_of(page):
    return slider(page).get_attribute("aria-valuetext")


def test_every_pair_is_told_as_python_does(opened):
    page = opened()
    for number in range(len(PLACES)):
        pair(page).select_option(str(number))
        for position in (0, 7, 10, 20):
            slide(page, position)
            figure = between(pair=number, share=position / 20)
            assert told(page) == " ".join(figure.findings())
            text = page.locator(".explorable-body").inner_text()
            assert not re.search(r"NaN|undefined|null|\{\w+\}", text)
        one, other = (CLASSES[place] for place in PLACES[number])
        assert (
            slider(page)
            .evaluate("one => one.labels[0].textContent")
            .startswith(f"Share of {one}, λ:")
        )
        names = page.locator(".explorable-legend span").all_inner_texts()
        assert [name.strip() for name in names] == [one, other, "all others", "what mixup asks for"]


def test_the_image_between_is_the_mixture(opened):
    page = opened("index", "#between?pair=1&share=0.35")
    ink = (
        page.locator(".explorable-canvas")
        .first.locator("g")
        .evaluate_all(
            """all => all.map(g => [...g.children].reduce((sum, path) =>
          sum + path.getAttribute("d").split("M").slice(1).length
            * Number(path.getAttribute("fill-opacity")), 0))"""
        )
    )
    line = between().lines[1]
    one, other = map(unpacked, line["images"])
    expected = [image.sum().item() for image in (other, 0.35 * one + 0.65 * other, one)]
    assert ink == pytest.approx(expected, rel=0.01)
    drawing = page.get_by_role("img", name=re.compile("between them a mixture"))
    assert drawing.get_attribute("aria-label") == (
        "dress, trousers, and between them a mixture: 35\u00a0% of trousers, 65\u00a0% of dress"
    )


def test_bars_and_marks_stand_where_they_should(opened):
    page = opened("index", "#between?pair=2&share=0.3")
    for model, svg in enumerate(
        page.locator(".explorable-sheets .explorable-canvas:nth-child(2) svg").all()
    ):
        tracks = svg.locator('rect[fill="var(--explorable-grid)"]')
        left, width = tracks.first.evaluate("r => [r.x.baseVal.value, r.width.baseVal.value]")
        assert tracks.count() == 5
        marks = svg.locator('path[stroke="var(--explorable-ink)"]').evaluate_all(
            "all => all.map(one => one.getBBox().x)"
        )
        assert marks == pytest.approx([left + 0.3 * width, left + 0.7 * width], abs=0.1)
        figure = between(pair=2, share=0.3)
        said = figure.lines[2]["answers"][model][figure.shares.index(0.3)]
        bars = svg.locator('rect[fill="var(--explorable-convolution)"]').evaluate_all(
            "all => all.map(one => one.width.baseVal.value)"
        )
        wanted = [said[place] / 1000 * width for place in PLACES[2]]
        assert bars == pytest.approx(wanted, abs=1.01)


def test_a_chart_can_be_dragged(opened):
    page = opened()
    for chart in charts(page).all():
        chart.scroll_into_view_if_needed()
        box = chart.bounding_box()
        middle = box["y"] + box["height"] / 2
        page.mouse.move(box["x"] + 60, middle)
        page.mouse.down()
        near = float(share_of(page))
        page.mouse.move(box["x"] + box["width"] + 40, middle)  # past the end is the end
        assert share_of(page) == "1"
        page.mouse.up()
        assert near < 0.2
        page.mouse.move(box["x"] + 60, middle)  # let go: nothing moves any more
        assert share_of(page) == "1"


def test_by_keyboard_alone(opened):
    page = opened()
    pair(page).focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert slider(page).evaluate("node => node === document.activeElement")
    page.keyboard.press("End")
    assert "nothing is mixed: the label says ankle boot" in finding(page)
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert finding(page) == " ".join(between(share=0.05).findings()[:3])
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")  # start again
    assert share_of(page) == "0.5"


def test_the_address_follows_and_opens_what_was_shared(opened, serve, folder):
    page = opened()
    pair(page).select_option("2")
    slide(page, 7)
    shared = "#between?pair=2&share=0.35"
    page.wait_for_function("wanted => location.hash === wanted", arg=shared)
    page.get_by_role("button", name="Start again").click()
    page.wait_for_function("() => location.hash === ''")
    with serve(folder) as address:
        again = opened("index", shared, address)
        assert told(again) == " ".join(between(pair=2, share=0.35).findings())
        again.evaluate("location.hash = '#between?pair=9&share=0.9'")
        again.wait_for_function("() => document.querySelector('[type=range]').value === '18'")
        assert pair(again).input_value() == "0"


def test_the_first_of_two_has_the_address(opened):
    page = opened("two", "#between?pair=5")
    lists = page.get_by_role("combobox", name="Two images:")
    assert [one.input_value() for one in lists.all()] == ["5", "3"]
    assert page.locator(".explorable-note", has_text="The address").count() == 1


def test_a_finger_moves_the_share_sideways_and_scrolls_upwards(browser, folder):
    context = browser.new_context(viewport={"width": PHONE, "height": 800}, has_touch=True)
    page = context.new_page()
    page.goto(f"{folder.as_uri()}/index.html")
    page.locator(".explorable-body").wait_for()
    charts(page).first.scroll_into_view_if_needed()
    box = charts(page).first.bounding_box()
    touch = context.new_cdp_session(page)

    def swipe(start, end):
        def send(kind, share):
            at = {axis: a + (b - a) * share for axis, a, b in zip("xy", start, end, strict=True)}
            points = [at] if kind != "touchEnd" else []
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        send("touchStart", 0)
        for step in range(1, 11):
            send("touchMove", step / 10)
            page.wait_for_timeout(16)
        send("touchEnd", 1)
        page.wait_for_timeout(300)

    middle = box["y"] + 90
    swipe((box["x"] + 80, middle), (box["x"] + box["width"] - 14, middle))
    assert share_of(page) == "1"
    before = page.evaluate("scrollY")
    swipe((box["x"] + box["width"] - 20, middle), (box["x"] + box["width"] - 20, middle - 150))
    assert page.evaluate("scrollY") > before
    context.close()


@pytest.mark.parametrize("width", [320, PHONE, 700, 1280])
def test_it_fits_and_no_words_meet(opened, width):
    page = opened(width=width)
    for number in range(len(PLACES)):
        pair(page).select_option(str(number))
        for position in (0, 1, 10, 19, 20):
            slide(page, position)
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
def test_nothing_below_moves_when_the_share_does(opened, width):
    page = opened(width=width)
    tops = set()
    for number in range(len(PLACES)):
        pair(page).select_option(str(number))
        for position in range(21):
            slide(page, position)
            top = "svg => svg.getBoundingClientRect().top + scrollY"
            tops.add(charts(page).first.evaluate(top))
    assert len(tops) == 1


@pytest.mark.parametrize(("theme", "width"), [("dark", 1280), ("light", PHONE)])
def test_axe_finds_no_violation(opened, serve, folder, theme, width):
    with serve(folder) as address:  # axe reads the style sheet again
        page = opened("two", "#between?pair=4&share=0.55", address, width=width)
        page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
        page.evaluate(AXE.read_text(encoding="utf8"))
        found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
    assert [f"{rule['id']}: {rule['nodes'][0]['html'][:200]}" for rule in found] == []


def test_in_a_notebook_the_keys_are_the_figures_own(visit, tmp_path):
    """JupyterLab has commands of its own for the arrow keys."""
    pytest.importorskip("jupyterlab")
    source = (TESTS / "made_up_answers.py").read_text(encoding="utf-8")
    (tmp_path / "made_up_answers.py").write_text(source, encoding="utf-8")
    cell = "from made_up_answers import between\n\nbetween(pair=2)"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, tmp_path / "between.ipynb")
    with jupyter_lab(tmp_path) as address:
        page, _ = visit(f"{address}/lab/tree/between.ipynb?reset", awake=False)
        page.set_default_timeout(DEADLINE_SECONDS * 1000)
        run_first_cell(page)
        slider(page).focus()
        page.keyboard.press("ArrowRight")
        assert finding(page) == " ".join(between(pair=2, share=0.55).findings()[:3])
        assert page.locator(".explorable-note", has_text="The address").count() == 0


def test_it_lives_in_its_chapter(visit, address, site):
    page, log = visit(f"{address}/{CHAPTER}")
    figure = page.locator('figure[data-explorable="between"]')
    figure.locator(".explorable-finding", has_text=re.compile(r"\d")).wait_for()
    state = json.loads(figure.locator('script[type="application/json"]').text_content())
    assert len(json.dumps(state)) < 60_000
    pair(figure).select_option("1")
    slider(figure).fill("0")
    line = state["lines"][1]
    name = state["classes"][line["other"]]
    assert f"nothing is mixed: the label says {name}." in finding(figure)
    assert (log.foreign, log.failed, log.complaints, log.violations) == ([], [], [], [])
