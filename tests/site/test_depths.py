"""The figure of depths in a real browser: moved by slider, mouse, finger and keys, shared."""

import json
import re
from pathlib import Path

import nbformat
import pytest
from lab import DEADLINE_SECONDS, jupyter_lab, run_first_cell
from made_up_depths import LAYERS, PASSAGES, THRESHOLDS, depths

from extensions import palette_css
from extensions.security_policy import guard
from payattention import results
from payattention.explorables import Depths, bundle

CHAPTER = "chapters/adaptive_compute.html"
LOADER = Path(__file__).parents[2] / "extensions" / "face" / "explorables-loader.js"
AXE = Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js"
TESTS = Path(__file__).parents[1]
PHONE = 390
TEXTS = [*PASSAGES.values()]


def stored(**state) -> Depths:
    return Depths(results.read("depth_vs_character"), **state)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pages with the figure: one, two of them, and the stored one."""
    folder = tmp_path_factory.mktemp("depths")
    static = folder / "_static" / "explorables"
    static.mkdir(parents=True)
    (static / "depths.js").write_text(bundle.classic_script("depths"), encoding="utf-8")
    loader = bundle.static_model() + "\n" + LOADER.read_text(encoding="utf-8")
    (static / "loader.js").write_text(loader, encoding="utf-8")
    sheet = palette_css.style_sheet(palette_css.read()) + bundle.stylesheet()
    sheet += "body { background: var(--pa-paper); color: var(--pa-ink); margin: 16px; }"
    sheet += "main { max-width: 46rem; }"
    (static / "explorables.css").write_text(sheet, encoding="utf-8")
    one, other = depths().fallback(), depths(passage=2, threshold=0.5, place=3).fallback()
    pages = {"index": one, "two": one + other, "stored": stored(threshold=0.6).fallback()}
    for name, figures in pages.items():
        page = (
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Depths</title>'
            '<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
            '<link rel="stylesheet" href="_static/explorables/explorables.css">'
            '<script defer src="_static/explorables/loader.js"></script></head>'
            f"<body><main><h1>Depths</h1>{figures}</main></body></html>"
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


def passage(page):
    return page.get_by_role("combobox", name="A passage:").first


def slider(page):
    return page.get_by_role("slider", name=re.compile("^Sure enough at")).first


def threshold(page):
    return slider(page).get_attribute("aria-valuetext")


def cells(page):
    return page.locator(".explorable-depths").first.get_by_role("gridcell")


def selected(page):
    """The places of the chosen characters: one."""
    return cells(page).evaluate_all(
        "all => all.map((one, place) => [one.getAttribute('aria-selected'), place])"
        ".filter(([chosen]) => chosen === 'true').map(([, place]) => place)"
    )


def finding(page):
    return page.locator(".explorable-finding").first.inner_text()


def chart(page):
    return page.locator(".explorable-drag svg").first


def text(page):
    return page.locator(".explorable-body").first.inner_text()


def test_every_passage_and_threshold_is_told_as_python_does(opened):
    page = opened()
    for number, written in enumerate(TEXTS):
        passage(page).select_option(str(number))
        shown = "".join(cells(page).all_inner_texts())
        assert shown.replace("\xa0", " ") == written.replace("\n", "¶")
        for position, sure in enumerate(THRESHOLDS):
            slider(page).fill(str(position))
            cells(page).nth(11).click()
            figure = depths(passage=number, threshold=sure, place=11)
            summary, by_place, character, curve = figure.findings()
            assert finding(page) == character
            assert by_place in text(page)
            assert chart(page).get_attribute("aria-label") == curve
            read = figure._read()["depths"]
            labels = cells(page).evaluate_all("all => all.map(o => o.getAttribute('aria-label'))")
            many = [int(re.search(r"(\d) layers?$", label)[1]) for label in labels]
            assert many == [int(depth) for depth in read]
            key = page.locator(".explorable-depth-key li").all_inner_texts()
            assert [int(one.rsplit(" ")[-1]) for one in key] == [
                read.count(str(layer + 1)) for layer in range(LAYERS)
            ]
            layers, *said = page.locator(".explorable-line strong").all_inner_texts()
            assert f"{layers} layers on average" in summary or layers == f"{LAYERS}.0 of {LAYERS}"
            assert all(number in summary for number in re.findall(r"[\d.]+", " ".join(said)))
            assert not re.search(r"NaN|undefined|null|\{\w+\}", text(page))


def test_ground_and_bar_grow_with_the_layers(opened):
    page = opened("index", "#depths?threshold=0.5")
    read = depths(threshold=0.5)._read()["depths"]
    looks = cells(page).evaluate_all(
        "all => all.map(o => ['--ground', '--bar'].map(n => "
        "parseFloat(o.style.getPropertyValue(n))))"
    )
    for part in range(2):
        by_depth = {depth: look[part] for depth, look in zip(read, looks, strict=True)}
        steps = [by_depth[depth] for depth in sorted(by_depth)]
        assert steps == sorted(set(steps)) and steps[0] > 0
        assert all(look[part] == by_depth[depth] for depth, look in zip(read, looks, strict=True))


@pytest.mark.parametrize("theme", palette_css.THEMES)
def test_characters_stay_readable_on_the_strongest_ground(opened, theme):
    page = opened("index", "#depths?threshold=1")
    page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
    ground = cells(page).first.evaluate("one => getComputedStyle(one).backgroundColor")
    red, green, blue, share = [float(one) for one in re.findall(r"[\d.]+(?:e-\d+)?", ground)]
    if "color(" not in ground:
        red, green, blue = (one / 255 for one in (red, green, blue))
    shades = {idea: bundle.palette()[idea][theme] for idea in ("ink", "paper")}
    ink, paper = ([int(s[i : i + 2], 16) / 255 for i in (1, 3, 5)] for s in shades.values())
    mixed = [share * a + (1 - share) * b for a, b in zip((red, green, blue), paper, strict=True)]
    lighter, darker = sorted((_luminance(ink), _luminance(mixed)), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) > 4.5


def _luminance(shade):
    linear = [one / 12.92 if one <= 0.04 else ((one + 0.055) / 1.055) ** 2.4 for one in shade]
    return sum(w * one for w, one in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_the_curve_has_all_thresholds_and_marks_the_chosen_one(opened):
    page = opened("index", "#depths?threshold=0.5")
    dots = chart(page).locator("circle")
    assert dots.count() == len(THRESHOLDS) + 1
    places = dots.evaluate_all("all => all.map(d => [d.cx.baseVal.value, d.cy.baseVal.value])")
    assert places[-1] == places[1]
    along = [x for x, _ in places[:-1]]
    assert along == sorted(along)
    assert "sure enough at 0.5" in chart(page).text_content()


def test_the_chart_moves_the_threshold(opened):
    page = opened()
    chart(page).scroll_into_view_if_needed()
    box = chart(page).bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 30, middle)
    page.mouse.down()
    assert threshold(page) == "0"
    page.mouse.move(box["x"] + box["width"] + 40, middle, steps=4)  # past the end is the end
    assert threshold(page) == "1"
    page.mouse.up()
    page.mouse.move(box["x"] + 30, middle)  # let go: nothing moves any more
    assert threshold(page) == "1"


def test_by_keyboard_alone(opened):
    page = opened(width=700)
    passage(page).focus()
    for key in ("Tab", "Home", "ArrowRight", "Tab"):
        page.keyboard.press(key)
    assert threshold(page) == "0.5"
    focus = page.locator(".explorable-depths [role=gridcell]:focus")
    assert focus.count() == 1
    assert focus.evaluate("node => getComputedStyle(node).outlineStyle") == "solid"
    written, line = TEXTS[0], TEXTS[0].index("\n")
    start = depths().place  # of the threshold with which the figure opens
    assert selected(page) == [start]
    steps = [
        ("Home", 0),
        ("ArrowLeft", 0),  # no further than the edge
        ("ArrowRight", 1),
        ("ArrowDown", line + 2),
        ("ArrowUp", 1),
        ("ArrowUp", 1),
        ("End", line),
        ("ArrowRight", line + 1),
        ("End", written.index("\n", line + 1)),
        ("Enter", written.index("\n", line + 1)),
        ("Home", line + 1),
    ]
    for key, place in steps:
        page.keyboard.press(key)
        assert selected(page) == [place], key
        assert finding(page) == depths(threshold=0.5, place=place).findings()[2]
        assert focus.count() == 1
    page.keyboard.press("Tab")  # one stop of the tab key, and no trap
    assert page.get_by_role("button", name="Start again").evaluate(
        "node => node === document.activeElement"
    )
    page.keyboard.press("Enter")
    assert selected(page) == [start] and threshold(page) == "0.9"
    page.keyboard.press("Shift+Tab")
    assert focus.count() == 1


def test_arrows_follow_the_lines_of_the_page(opened):
    """On a phone a long line is broken, and goes on below."""
    start = stored().passages[0]["text"].index("Hubert")  # near the left edge
    page = opened("stored", f"#depths?place={start}", width=PHONE)
    boxes = cells(page).evaluate_all(
        "all => all.map(o => { const b = o.getBoundingClientRect(); return [b.left, b.top]; })"
    )
    lines = sorted({top for _, top in boxes})
    below = lines[lines.index(boxes[start][1]) + 1]
    apart = {
        abs(left - boxes[start][0]): at for at, (left, top) in enumerate(boxes) if top == below
    }
    cells(page).nth(start).focus()
    page.keyboard.press("ArrowDown")
    assert selected(page) == [apart[min(apart)]] and min(apart) <= 6
    page.keyboard.press("ArrowUp")
    assert abs(selected(page)[0] - start) <= 1


def test_a_character_is_chosen_by_touch(browser, folder):
    context = browser.new_context(viewport={"width": PHONE, "height": 800}, has_touch=True)
    page = context.new_page()
    page.goto(f"{folder.as_uri()}/index.html")
    page.locator(".explorable-body").wait_for()
    cells(page).nth(20).tap()
    assert finding(page) == depths(place=20).findings()[2]
    chart(page).scroll_into_view_if_needed()
    box = chart(page).bounding_box()
    page.touchscreen.tap(box["x"] + 30, box["y"] + box["height"] / 2)
    assert finding(page) == depths(threshold=0.0, place=20).findings()[2]
    context.close()


def test_the_text_is_a_grid_with_a_name(opened):
    page = opened("index", "#depths?passage=2")
    grid = page.get_by_role("grid", name=re.compile("arrow keys choose one"))
    assert grid.get_by_role("row").all_inner_texts() == [
        "OLIVIA:¶",
        "Ha!¶¶",
        "MALVOLIO:¶",
        "'Some achieve greatness,'--¶¶",
        "OLIVIA:",
    ]
    assert grid.locator('[tabindex="0"]').count() == 1
    labels = cells(page).evaluate_all("all => all.map(o => o.getAttribute('aria-label'))")
    assert labels[7].startswith("line end, ") and labels[0].startswith("O, ")


def test_layers_and_bits_are_heard_when_they_change(opened):
    page = opened()
    heard = page.get_by_role("status").first

    def hears(said):
        page.wait_for_function(
            "([node, said]) => node.textContent === said", arg=[heard.element_handle(), said]
        )

    hears(depths().findings()[2])
    slider(page).fill("0")
    figure = depths(threshold=0.0, place=depths().place)
    hears(f"{figure.findings()[2]} {figure.findings()[0]}")
    cells(page).nth(3).click()
    hears(depths(threshold=0.0, place=3).findings()[2])


def test_the_address_follows_and_opens_what_was_shared(opened, serve, folder):
    page = opened()
    passage(page).select_option("2")
    slider(page).fill("1")
    cells(page).nth(12).click()
    shared = "#depths?passage=2&threshold=0.5&place=12"
    page.wait_for_function("wanted => location.hash === wanted", arg=shared)
    page.get_by_role("button", name="Start again").click()
    page.wait_for_function("() => location.hash === ''")
    with serve(folder) as address:
        again = opened("index", shared, address)
        assert finding(again) == depths(passage=2, threshold=0.5, place=12).findings()[2]
        again.evaluate("location.hash = '#depths?passage=9&threshold=0.5&place=7'")
        again.wait_for_function("() => document.querySelector('select').value === '0'")
        assert finding(again) == depths(threshold=0.5, place=7).findings()[2]


def test_the_first_of_two_has_the_address(opened):
    page = opened("two", "#depths?passage=1")
    lists = page.get_by_role("combobox", name="A passage:")
    assert [one.input_value() for one in lists.all()] == ["1", "2"]
    assert page.locator(".explorable-note", has_text="The address").count() == 1


def test_another_passage_keeps_the_focus(opened):
    page = opened("index", f"#depths?place={len(TEXTS[0]) - 1}")
    cells(page).last.focus()
    page.evaluate("location.hash = '#depths?passage=2&place=40'")
    page.wait_for_function("() => document.querySelector('select').value === '2'")
    assert page.locator(".explorable-depths [role=gridcell]:focus").count() == 1
    assert selected(page) == [40]


@pytest.mark.parametrize("width", [320, PHONE, 700, 1280])
def test_it_fits_and_no_words_meet(opened, width):
    page = opened("stored", width=width)
    count = len(stored().thresholds)
    for number in range(3):
        passage(page).select_option(str(number))
        for position in range(count):
            slider(page).fill(str(position))
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            boxes = page.locator(".explorable-canvas text").evaluate_all(
                "all => all.map(t => [t.textContent, ...['left', 'right', 'top', 'bottom']"
                ".map(side => t.getBoundingClientRect()[side])])"
            )
            for i, (one, left, right, top, bottom) in enumerate(boxes):
                assert left >= 0 and right <= width, one
                for other, left2, right2, top2, bottom2 in boxes[i + 1 :]:
                    apart = right <= left2 or right2 <= left
                    apart = apart or bottom - 3 <= top2 or bottom2 - 3 <= top
                    assert apart, (one, other)
    over = page.locator(".explorable-depths").evaluate(
        "node => node.scrollWidth - node.clientWidth"
    )
    assert over <= 0


@pytest.mark.parametrize("width", [PHONE, 1280])
def test_nothing_below_moves_when_threshold_and_character_do(opened, width):
    page = opened("stored", width=width)
    tops = set()
    for position in range(len(stored().thresholds)):
        slider(page).fill(str(position))
        for place in (0, 10, 11, 30, 254):
            cells(page).nth(min(place, cells(page).count() - 1)).click()
            tops.add(chart(page).evaluate("svg => svg.getBoundingClientRect().top + scrollY"))
    assert len(tops) == 1


@pytest.mark.parametrize(("theme", "width"), [("dark", 1280), ("light", PHONE)])
def test_axe_finds_no_violation(opened, serve, folder, theme, width):
    with serve(folder) as address:  # axe reads the style sheet again
        for name, fragment in (("two", "#depths?passage=2"), ("stored", "#depths?threshold=0.4")):
            page = opened(name, fragment, address, width=width)
            page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
            cells(page).nth(9).click()
            page.evaluate(AXE.read_text(encoding="utf8"))
            found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
            assert [
                f"{rule['id']}: {rule['nodes'][0]['html'][:200]}" for rule in found["violations"]
            ] == []


def test_in_a_notebook_the_keys_are_the_figures_own(visit, tmp_path):
    """JupyterLab has commands of its own for the arrow keys."""
    pytest.importorskip("jupyterlab")
    source = (TESTS / "made_up_depths.py").read_text(encoding="utf-8")
    (tmp_path / "made_up_depths.py").write_text(source, encoding="utf-8")
    cell = "from made_up_depths import depths\n\ndepths(passage=1)"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, tmp_path / "depths.ipynb")
    with jupyter_lab(tmp_path) as address:
        page, _ = visit(f"{address}/lab/tree/depths.ipynb?reset", awake=False)
        page.set_default_timeout(DEADLINE_SECONDS * 1000)
        run_first_cell(page)
        cells(page).nth(10).click()
        page.keyboard.press("ArrowRight")
        assert finding(page) == depths(passage=1, place=11).findings()[2]
        slider(page).focus()
        page.keyboard.press("ArrowLeft")
        assert finding(page) == depths(passage=1, threshold=0.5, place=11).findings()[2]
        assert page.locator(".explorable-note", has_text="The address").count() == 0


def test_it_lives_in_its_chapter(visit, address, site):
    page, log = visit(f"{address}/{CHAPTER}")
    figure = page.locator('figure[data-explorable="depths"]')
    figure.locator(".explorable-finding", has_text=re.compile(r"\d")).wait_for()
    state = json.loads(figure.locator('script[type="application/json"]').text_content())
    assert len(json.dumps(state)) < 60_000
    slider(figure).fill(str(len(state["thresholds"]) - 1))
    said = figure.locator(".explorable-line strong").all_inner_texts()
    assert said[0] == "6.0 of 6" and float(said[1].split("\xa0")[0]) > 100
    assert (log.foreign, log.failed, log.complaints, log.violations) == ([], [], [], [])
