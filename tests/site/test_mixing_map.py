"""The map of mixup in a real browser: by mouse, touch and keyboard, shared by its address."""

import re
from pathlib import Path

import nbformat
import pytest
from lab import DEADLINE_SECONDS, jupyter_lab, run_first_cell
from mixing_cells import made_up

from extensions import palette_css
from extensions.security_policy import guard
from payattention.explorables import MixingMap, bundle, mixing

CHAPTER = "chapters/mixup.html"
LOADER = Path(__file__).parents[2] / "extensions" / "face" / "explorables-loader.js"
AXE = Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js"
PHONE = 390


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pages with the figure: one, and two of them."""
    folder = tmp_path_factory.mktemp("mixing_map")
    static = folder / "_static" / "explorables"
    static.mkdir(parents=True)
    (static / "mixing_map.js").write_text(bundle.classic_script("mixing_map"), encoding="utf-8")
    loader = bundle.static_model() + "\n" + LOADER.read_text(encoding="utf-8")
    (static / "loader.js").write_text(loader, encoding="utf-8")
    sheet = palette_css.style_sheet(palette_css.read()) + bundle.stylesheet()
    sheet += "body { background: var(--pa-paper); color: var(--pa-ink); margin: 16px; }"
    sheet += "main { max-width: 48rem; }"
    (static / "explorables.css").write_text(sheet, encoding="utf-8")
    one = MixingMap(made_up()).fallback()
    other = MixingMap(made_up(2), kind="clothes, ViT", metric="nll", alpha=0.4).fallback()
    for name, figures in {"index": one, "two": one + other}.items():
        page = (
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Mixup</title>'
            '<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
            '<link rel="stylesheet" href="_static/explorables/explorables.css">'
            '<script defer src="_static/explorables/loader.js"></script></head>'
            f"<body><main><h1>Mixup</h1>{figures}</main></body></html>"
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


def choose(page, label, value):
    page.get_by_label(re.compile(f"^{label}")).first.select_option(value)


def alpha(page):
    return page.get_by_role("slider", name=re.compile("^How much")).first


def square(page, row, column):
    """The square in a row and a column, counted from 0."""
    rows = page.locator(".explorable-map").first.get_by_role("row")
    return rows.nth(row + 1).get_by_role("gridcell").nth(column)


def finding(page):
    return page.locator(".explorable-finding").first.inner_text()


def chosen(page):
    return page.locator('.explorable-map [aria-selected="true"]').first


def text(page):
    return page.locator(".explorable-body").first.inner_text()


@pytest.mark.parametrize("kind", mixing.NAMES)
@pytest.mark.parametrize("metric", mixing.METRICS)
def test_every_map_is_shown_and_told_as_python_does(opened, kind, metric):
    page = opened()
    choose(page, "Images and model", kind)
    choose(page, "What is compared", metric)
    figure = MixingMap(made_up(), kind=kind, metric=metric)
    found = figure._choices[kind]
    for position, value in enumerate(found["alpha"]):
        alpha(page).fill(str(position))
        figure.alpha = value
        assert alpha(page).get_attribute("aria-valuetext") == f"{value:g}"
        for row, wrong in enumerate(found["wrong"]):
            for column, labels in enumerate(found["labels"]):
                cell, shown = figure.cell(labels=labels, wrong=wrong), square(page, row, column)
                verdict = mixing.verdict(cell)
                assert shown.get_attribute("aria-label") == mixing.in_short(cell)
                assert shown.get_attribute("data-verdict") == verdict
                words = [mixing.signed(cell), mixing.VERDICTS[verdict]]
                assert shown.locator("*").all_inner_texts() == words
        shown.click()
        figure.labels, figure.wrong = labels, wrong
        said, counted = figure.findings()[:2]
        assert finding(page) == said and counted in text(page)
    assert not re.search(r"NaN|undefined|null|\{\w+\}", text(page))


def test_a_square_is_chosen_by_click(opened):
    page = opened()
    square(page, 1, 2).click()
    figure = MixingMap(made_up(), labels=1000, wrong=0.2)
    assert finding(page) == figure.findings()[0]
    assert chosen(page).get_attribute("aria-label") == mixing.in_short(figure.cell())
    assert page.locator('.explorable-map [aria-selected="true"]').count() == 1
    assert page.locator('.explorable-map [tabindex="0"]').count() == 1


def test_a_square_is_chosen_by_touch(browser, folder):
    context = browser.new_context(viewport={"width": PHONE, "height": 800}, has_touch=True)
    page = context.new_page()
    page.goto(f"{folder.as_uri()}/index.html")
    page.locator(".explorable-body").wait_for()
    square(page, 0, 1).tap()
    assert finding(page) == MixingMap(made_up(), labels=200, wrong=0.0).findings()[0]
    page.locator(".explorable-canvas svg").scroll_into_view_if_needed()
    box = page.locator(".explorable-canvas svg").bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] - 40, box["y"] + box["height"] / 2)
    assert finding(page) == MixingMap(made_up(), labels=200, wrong=0.0, alpha=2.0).findings()[0]
    context.close()


def test_by_keyboard_alone(opened):
    page = opened()
    page.get_by_label(re.compile("^Images and model")).focus()
    for key in ("Tab", "Tab", "End", "Tab"):
        page.keyboard.press(key)
    figure = MixingMap(made_up(), labels=MixingMap(made_up()).labels, wrong=0.4, alpha=2.0)
    focus = page.locator(".explorable-map [role=gridcell]:focus")
    assert focus.get_attribute("aria-label") == mixing.in_short(figure.cell())
    assert focus.evaluate("node => getComputedStyle(node).outlineStyle") == "solid"
    steps = [
        ("Home", 50, 0.4),
        ("ArrowUp", 50, 0.2),
        ("ArrowRight", 200, 0.2),
        ("ArrowLeft", 50, 0.2),
        ("ArrowLeft", 50, 0.2),  # no further than the edge
        ("ArrowUp", 50, 0.0),
        ("ArrowUp", 50, 0.0),
        ("End", 1000, 0.0),
        ("ArrowDown", 1000, 0.2),
        ("Enter", 1000, 0.2),
    ]
    for key, labels, wrong in steps:
        page.keyboard.press(key)
        figure.labels, figure.wrong = labels, wrong
        assert finding(page) == figure.findings()[0]
        assert focus.get_attribute("aria-label") == mixing.in_short(figure.cell())
    page.keyboard.press("Tab")  # one stop of the tab key, and no trap
    assert page.get_by_role("button", name="Start again").evaluate(
        "node => node === document.activeElement"
    )
    page.keyboard.press("Enter")
    assert finding(page) == MixingMap(made_up()).findings()[0]
    page.keyboard.press("Shift+Tab")
    assert focus.count() == 1


def test_the_map_is_a_grid_with_names(opened):
    page = opened()
    grid = page.get_by_role("grid", name=re.compile("arrow keys choose a square"))
    assert grid.get_by_role("columnheader").all_inner_texts() == [
        "wrong",
        "50 labels",
        "200 labels",
        "1,000 labels",
    ]
    assert grid.get_by_role("rowheader").all_inner_texts() == ["0\xa0%", "20\xa0%", "40\xa0%"]
    choose(page, "Images and model", "clothes, ViT")
    assert grid.get_by_role("rowheader").count() == 2
    assert grid.get_by_role("gridcell").count() == 6


def test_another_kind_keeps_what_is_nearest_and_the_focus(opened):
    page = opened("index", "#mixing_map?labels=50&wrong=0.2&alpha=2")
    square(page, 1, 0).focus()
    page.evaluate("location.hash = '#mixing_map?kind=clothes%2C%20CNN&labels=5000&wrong=0'")
    figure = MixingMap(made_up(), kind="clothes, CNN", labels=5000, wrong=0.0)
    page.locator(".explorable-finding", has_text="Clothes, a CNN, 5,000 labels").wait_for()
    assert finding(page) == figure.findings()[0]
    assert page.locator(".explorable-map [role=gridcell]:focus").count() == 1
    choose(page, "Images and model", "digits, CNN")
    assert finding(page).startswith("Digits, a CNN, 1,000 labels, all of them right, α\xa0=\xa01:")
    assert alpha(page).get_attribute("max") == "4"


def test_the_drawing_has_a_dot_for_each_alpha(opened):
    page = opened()
    figure = MixingMap(made_up())
    row = []
    for value in (0.1, 0.2, 0.4, 1.0, 2.0):
        figure.alpha = value
        row.append(figure.cell())
    dots = page.locator(".explorable-canvas circle")
    ideas = {"helps": "recurrence", "hurts": "attention", "none": "muted"}
    for cell, dot in zip(row, dots.all(), strict=True):
        paint = f"var(--explorable-{ideas[mixing.verdict(cell)]})"
        assert dot.get_attribute("stroke") == paint
        filled = paint if cell["seen"] else "var(--explorable-paper)"
        assert dot.get_attribute("fill") == filled
    heights = [float(dot.get_attribute("cy")) for dot in dots.all()]
    by_size = sorted(range(5), key=lambda i: row[i]["more"])
    assert sorted(range(5), key=lambda i: -heights[i]) == by_size  # lower is less
    label = page.locator(".explorable-canvas svg").get_attribute("aria-label")
    for cell in row:
        assert f"{mixing.signed(cell)} (" in label and f"at α\xa0=\xa0{cell['alpha']:g}" in label


def test_the_drawing_moves_alpha(opened):
    page = opened()
    dots = page.locator(".explorable-canvas circle")
    page.locator(".explorable-canvas").scroll_into_view_if_needed()
    first, last = dots.first.bounding_box(), dots.last.bounding_box()
    page.mouse.move(first["x"] + 4, first["y"] + 30)
    page.mouse.down()
    assert alpha(page).input_value() == "0"
    page.mouse.move(last["x"], last["y"], steps=4)
    page.mouse.up()
    assert alpha(page).input_value() == "4"
    page.mouse.move(first["x"], first["y"])  # let go: nothing moves any more
    assert alpha(page).input_value() == "4"


def test_what_is_counted_is_heard_when_it_changes(opened):
    page = opened()
    heard = page.get_by_role("status")
    said = MixingMap(made_up()).findings()
    page.wait_for_function(
        "([node, said]) => node.textContent === said", arg=[heard.element_handle(), said[0]]
    )
    choose(page, "What is compared", "nll")
    figure = MixingMap(made_up())
    figure.metric = "nll"
    page.wait_for_function(
        "([node, said]) => node.textContent === said",
        arg=[heard.element_handle(), " ".join(figure.findings()[:2])],
    )


def test_the_address_follows_and_opens_what_was_shared(opened, serve, folder):
    page = opened()
    choose(page, "Images and model", "clothes, ViT")
    choose(page, "What is compared", "ece")
    alpha(page).fill("0")
    square(page, 0, 2).click()
    page.wait_for_function("() => location.hash.includes('wrong=0')")
    shared = page.evaluate("location.hash")
    assert "kind=clothes%2C%20ViT&metric=ece&alpha=0.2&labels=5000&wrong=0" in shared
    said = finding(page)
    page.get_by_role("button", name="Start again").click()
    page.wait_for_function("() => location.hash === ''")
    with serve(folder) as address:
        again = opened("index", shared, address)
        assert finding(again) == said
        again.evaluate("location.hash = '#mixing_map?kind=letters&alpha=0.3&labels=50&wrong=x'")
        again.locator(".explorable-finding", has_text="Digits, a CNN, 50 labels").wait_for()
        assert finding(again) == MixingMap(made_up(), labels=50, wrong=0.4).findings()[0]


def test_the_first_of_two_has_the_address(opened):
    page = opened("two", "#mixing_map?metric=ece")
    lists = page.get_by_label(re.compile("^What is compared"))
    assert [one.input_value() for one in lists.all()] == ["ece", "nll"]
    assert page.locator(".explorable-note", has_text="The address").count() == 1


def test_verdicts_have_the_colours_of_the_palette(opened):
    page = opened()
    for theme in palette_css.THEMES:
        page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
        for verdict, idea in {"helps": "recurrence", "none": "grid"}.items():
            ground = page.locator(f'.explorable-map [data-verdict="{verdict}"]').first
            shade = bundle.palette()[idea][theme]
            assert ground.evaluate("node => getComputedStyle(node).backgroundColor") == (
                f"rgb({', '.join(str(int(shade[i : i + 2], 16)) for i in (1, 3, 5))})"
            )


@pytest.mark.parametrize("width", [340, PHONE, 1280])
def test_it_fits_and_no_words_meet(opened, width):
    page = opened("index", width=width)
    for metric in mixing.METRICS:
        choose(page, "What is compared", metric)
        for column in range(3):
            square(page, 2, column).click()
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            boxes = page.locator(
                ".explorable-canvas text, .explorable-map span, .explorable-map strong"
            ).evaluate_all(
                "all => all.map(t => [t.textContent, ...['left', 'right', 'top', 'bottom']"
                ".map(side => t.getBoundingClientRect()[side])])"
            )
            for i, (one, left, right, top, bottom) in enumerate(boxes):
                assert left >= 0 and right <= width, one
                for other, left2, right2, top2, bottom2 in boxes[i + 1 :]:
                    apart = right <= left2 or right2 <= left
                    assert apart or bottom - 3 <= top2 or bottom2 - 3 <= top, (one, other)
    over = page.locator(".explorable-map [role]").evaluate_all(
        "all => all.filter(node => node.scrollWidth > node.clientWidth).map(n => n.textContent)"
    )
    assert over == []


@pytest.mark.parametrize(("theme", "width"), [("dark", 1280), ("light", PHONE)])
def test_axe_finds_no_violation(opened, serve, folder, theme, width):
    with serve(folder) as address:  # axe reads the style sheet again
        page = opened("two", "#mixing_map?metric=nll", address, width=width)
        page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
        square(page, 0, 0).focus()
        page.evaluate(AXE.read_text(encoding="utf8"))
        found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
    assert [f"{rule['id']}: {rule['nodes'][0]['html'][:200]}" for rule in found] == []


CELL = """
from payattention.explorables import MixingMap

numbers = {"plain": 0.4, "mixed": 0.3, "more": -0.1, "low": -0.12, "high": -0.08, "seen": True}
MixingMap(
    [
        {"kind": "digits, CNN", "metric": "error", "labels": n, "wrong": wrong, "alpha": alpha}
        | numbers
        for n in (50, 200)
        for wrong in (0.0, 0.4)
        for alpha in (0.2, 1.0)
    ]
)
"""


def test_in_a_notebook_the_keys_are_the_figures_own(visit, tmp_path):
    """JupyterLab has commands of its own for the arrow keys."""
    pytest.importorskip("jupyterlab")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL.strip())])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, tmp_path / "mixing_map.ipynb")
    with jupyter_lab(tmp_path) as address:
        page, _ = visit(f"{address}/lab/tree/mixing_map.ipynb?reset", awake=False)
        page.set_default_timeout(DEADLINE_SECONDS * 1000)
        run_first_cell(page)
        square(page, 0, 0).click()
        for key in ("ArrowDown", "ArrowRight"):
            page.keyboard.press(key)
        assert finding(page).startswith(
            "Digits, a CNN, 200 labels, 40\xa0% of them wrong, α\xa0=\xa01:"
        )
        alpha(page).focus()
        page.keyboard.press("ArrowLeft")
        assert "α\xa0=\xa00.2:" in finding(page)


def test_it_lives_in_its_chapter(visit, site, address):
    page, log = visit(f"{address}/{CHAPTER}")
    figure = page.locator('figure[data-explorable="mixing_map"]')
    figure.locator(".explorable-finding", has_text=re.compile(r"\d")).wait_for()
    figure.get_by_label(re.compile("^Images and model")).select_option("clothes, ViT")
    assert figure.locator(".explorable-finding").inner_text().startswith("Clothes, a ViT, ")
    assert (log.foreign, log.failed, log.complaints, log.violations) == ([], [], [], [])
