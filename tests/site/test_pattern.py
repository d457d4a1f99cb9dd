"""The pattern in a real browser: drawn by mouse, touch and keyboard, shared by its address."""

import math
import re
from pathlib import Path

import nbformat
import pytest
import torch
from lab import DEADLINE_SECONDS, jupyter_lab, run_first_cell

from extensions import palette_css
from extensions.security_policy import guard
from payattention.explorables import Pattern, bundle
from payattention.explorables.patterning import RULES, packed, unpacked
from payattention.records import Results

CHAPTER = "chapters/sparse_attention.html"
LOADER = Path(__file__).parents[2] / "extensions" / "face" / "explorables-loader.js"
AXE = Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js"
PHONE = 390
TIMES = Results(
    "time_vs_pattern",
    {
        "way": ["dense", "window", "strided"],
        "tokens": [4096] * 3,
        "size": [None, 64, 64],
        "seconds": [1.2, 0.3, 1.8],
    },
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pages with the figure: one, a larger one, and two of them."""
    folder = tmp_path_factory.mktemp("pattern")
    static = folder / "_static" / "explorables"
    static.mkdir(parents=True)
    (static / "pattern.js").write_text(bundle.classic_script("pattern"), encoding="utf-8")
    loader = bundle.static_model() + "\n" + LOADER.read_text(encoding="utf-8")
    (static / "loader.js").write_text(loader, encoding="utf-8")
    sheet = palette_css.style_sheet(palette_css.read()) + bundle.stylesheet()
    sheet += "body { background: var(--pa-paper); color: var(--pa-ink); margin: 16px; }"
    sheet += "main { max-width: 48rem; }"
    (static / "explorables.css").write_text(sheet, encoding="utf-8")
    one, large = Pattern(times=TIMES).fallback(), Pattern(tokens=32, preset="fixed").fallback()
    for name, figures in {"index": one, "large": large, "two": one + large}.items():
        page = (
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Pattern</title>'
            '<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
            '<link rel="stylesheet" href="_static/explorables/explorables.css">'
            '<script defer src="_static/explorables/loader.js"></script></head>'
            f"<body><main><h1>Pattern</h1>{figures}</main></body></html>"
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


def listed(page, label):
    return page.get_by_label(re.compile(f"^{label}"))


def choose(page, label, value):
    listed(page, label).select_option(value)


def slide(page, label, position):
    page.get_by_role("slider", name=re.compile(f"^{label}")).fill(str(position))


def finding(page):
    return page.locator(".explorable-finding").first.inner_text()


def line(page, title):
    """What stands at the right of a line of results."""
    return page.locator(".explorable-line", has_text=title).locator("strong").inner_text()


def seen(page):
    """The mask as the cells say it, packed."""
    cells = page.locator(".explorable-cells").first.get_by_role("gridcell")
    bits = cells.evaluate_all("all => all.map(cell => cell.getAttribute('aria-selected'))")
    tokens = math.isqrt(len(bits))
    return packed(torch.tensor([bit == "true" for bit in bits]).view(tokens, tokens))


def place(page, row, column, tokens=24):
    """Where a pair lies in the window, for a mouse or a finger."""
    cells = page.locator(".explorable-cells").first
    cells.scroll_into_view_if_needed()
    box = cells.bounding_box()
    side = box["width"] / tokens
    return box["x"] + (column - 0.5) * side, box["y"] + (row - 0.5) * side


@pytest.mark.parametrize("preset", RULES)
def test_every_preset_is_shown_and_told_as_python_does(opened, preset):
    page = opened()
    choose(page, "Pattern:", preset)
    for back in (True, False):
        choose(page, "Who may be", str(back).lower())
        state = {"preset": preset, "back": back, "size": 4, "count": 1}
        if preset != "dense":
            slide(page, "(Window|Stride|Block):", 4)
            state["size"] = 5
        if preset in ("fixed", "global", "random"):
            slide(page, "(Open tokens|Global tokens|Blocks drawn)", 1)
            state["count"] = 2
        figure = Pattern(times=TIMES, **state)
        news, square, long, *clock = figure.findings()
        assert finding(page) == news
        assert seen(page) == packed(figure.mask())
        assert square == f"This square of 24 tokens: {line(page, 'This square')}."
        assert long.endswith(f": {line(page, 'Over 4,096')}.")
        assert all(said in page.locator(".explorable-body").inner_text() for said in clock)
        text = page.locator(".explorable-body").inner_text()
        assert not re.search(r"NaN|undefined|null|\{\w+\}", text)


def test_squares_are_in_the_drawing_where_the_cells_say(opened):
    page = opened("large")
    mask = Pattern(tokens=32, preset="fixed").mask()
    drawn = page.locator('.explorable-canvas path[fill="var(--explorable-attention)"]')
    assert drawn.get_attribute("d").count("z") == mask.sum() and seen(page) == packed(mask)
    for row, column in ((7, 4), (32, 32)):
        x, y = place(page, row, column, tokens=32)
        inside = drawn.evaluate(
            """(path, [x, y]) => {
              const box = path.ownerSVGElement.getBoundingClientRect();
              return path.isPointInFill(new DOMPoint(x - box.left, y - box.top));
            }""",
            [x, y],
        )
        assert inside == bool(mask[row - 1, column - 1])


def test_a_click_turns_a_pair_on_and_off(opened):
    page = opened()
    before = seen(page)
    page.mouse.click(*place(page, 24, 2))
    assert listed(page, "Pattern:").input_value() == "own"
    mask = Pattern().mask()
    mask[23, 1] = True
    assert seen(page) == packed(mask)
    assert finding(page) == Pattern(preset="own", own=packed(mask)).findings()[0]
    page.mouse.click(*place(page, 24, 2))
    assert seen(page) == before and listed(page, "Pattern:").input_value() == "own"
    assert "no rule by which" in page.locator(".explorable-body").inner_text()


def test_a_drag_draws_without_a_gap_and_does_not_look_ahead(opened):
    page = opened()
    page.mouse.move(*place(page, 24, 1))
    page.mouse.down()
    page.mouse.move(*place(page, 24, 18))  # at one go, as a fast hand does
    page.mouse.move(*place(page, 10, 20))
    page.mouse.up()
    mask = Pattern().mask()
    assert mask[23, 20:].all() and not mask[23, :20].any()
    page.mouse.move(*place(page, 5, 5))  # let go: nothing is drawn any more
    drawn = unpacked(seen(page), 24)
    assert drawn[23, :18].all() and drawn.triu(1).sum() == 0
    # the first square decides for the whole stroke: from a pair that is there on, it takes away
    page.mouse.move(*place(page, 24, 24))
    page.mouse.down()
    page.mouse.move(*place(page, 24, 1), steps=5)
    page.mouse.up()
    assert "Token 24 looks at nothing: attention has no answer there." in finding(page)


def test_the_future_is_closed_until_it_is_opened(opened):
    page = opened()
    before = seen(page)
    page.mouse.click(*place(page, 3, 9))
    assert "Token 3 may not look at token 9, which comes later." in finding(page)
    assert seen(page) == before and listed(page, "Pattern:").input_value() == "window"
    choose(page, "Who may be", "false")
    assert "which comes later" not in finding(page)
    page.mouse.click(*place(page, 3, 9))
    mask = Pattern(back=False).mask()
    mask[2, 8] = True
    assert seen(page) == packed(mask)


def test_your_own_begins_with_what_is_there_and_is_kept(opened):
    page = opened()
    choose(page, "Pattern:", "strided")
    choose(page, "Pattern:", "own")
    assert seen(page) == packed(Pattern(preset="strided").mask())
    page.get_by_role("button", name="Clear").click()
    assert "24 tokens, token 1 first, look at nothing" in finding(page)
    page.mouse.click(*place(page, 9, 9))
    choose(page, "Pattern:", "dense")
    choose(page, "Pattern:", "own")
    assert line(page, "This square").startswith("1 of 300 pairs")
    page.get_by_role("button", name="Start again").click()
    assert finding(page) == Pattern().findings()[0]


def test_by_keyboard_alone(opened):
    page = opened()
    listed(page, "Pattern:").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    cells = page.locator(".explorable-cells")
    assert cells.evaluate("node => node === document.activeElement")
    ring = page.locator(".explorable-canvas rect[stroke='var(--explorable-paper)']")
    assert ring.count() == 1 and cells.evaluate("n => getComputedStyle(n).outlineStyle") == "solid"
    for key in ("Home", "ArrowRight", "ArrowUp", "ArrowLeft", "ArrowLeft", "Space"):
        page.keyboard.press(key)
    active = page.locator(f"#{cells.get_attribute('aria-activedescendant')}")
    assert active.get_attribute("aria-label") == "token 23 looks at token 1"
    assert active.get_attribute("aria-selected") == "true"
    page.keyboard.press("Enter")
    assert active.get_attribute("aria-selected") == "false"
    page.keyboard.press("Tab")  # no trap: on to the sliders
    assert ring.count() == 0
    assert page.get_by_role("slider", name=re.compile("^Token")).evaluate(
        "node => node === document.activeElement"
    )
    for key in ("Home", "Tab", "End"):
        page.keyboard.press(key)
    assert finding(page).startswith("In 6 layers token 1 hears from itself.")
    for _ in range(2):
        page.keyboard.press("Shift+Tab")
    assert cells.evaluate("node => node === document.activeElement")


def test_the_strip_counts_the_layers_of_the_token_that_listens(opened):
    page = opened()
    slide(page, "Token", 9)
    slide(page, "Layers", 2)
    strip = page.locator(".explorable-canvas svg[role=img]")
    assert strip.locator("text").all_text_contents() == [
        *"3332221111",
        "layers until token 10 hears of it",
    ]
    assert strip.get_attribute("aria-label").endswith(": 3 3 3 2 2 2 1 1 1 1" + " –" * 14)
    assert finding(page) == "In 3 layers token 10 hears from all 10 tokens up to itself."


def test_a_long_text_and_the_clock(opened):
    page = opened()
    body = page.locator(".explorable-body")
    assert "On the clock dense takes 4 times as long." in body.inner_text()
    slide(page, "with a window of", 3)
    assert "This one was not timed." in body.inner_text()
    slide(page, "A text of", 5)
    far = Pattern(long_tokens=32_768, long_size=128).findings()[2]
    assert far.endswith(f": {line(page, 'Over 32,768')}.")
    slide(page, "A text of", 2)
    choose(page, "Pattern:", "strided")
    slide(page, "with a stride of", 2)
    assert "On the clock it takes 1.5 times as long as dense." in body.inner_text()


def test_other_blocks_are_drawn(opened):
    page = opened()
    again = page.get_by_role("button", name="Draw other blocks")
    assert not again.is_visible()
    choose(page, "Pattern:", "random")
    again.click()
    assert seen(page) == packed(Pattern(preset="random", seed=1).mask())


def test_the_address_follows_and_opens_what_was_shared(opened, serve, folder):
    page = opened()
    choose(page, "Pattern:", "global")
    slide(page, "Global tokens", 2)
    shared = "#pattern?preset=global&count=3"
    page.wait_for_function("wanted => location.hash === wanted", arg=shared)
    page.mouse.click(*place(page, 24, 12))
    mask = Pattern(preset="global", count=3).mask()
    mask[23, 11] = True
    page.wait_for_function("() => location.hash.includes('preset=own')")
    drawn = page.evaluate("location.hash")
    page.get_by_role("button", name="Start again").click()
    page.wait_for_function("() => location.hash === ''")
    with serve(folder) as address:
        again = opened("index", drawn, address)
        assert seen(again) == packed(mask)
        again.evaluate("location.hash = '#pattern?preset=strided&size=99&own=zz'")
        again.locator(".explorable-line", has_text="a stride of 64").wait_for()
        assert seen(again) == packed(Pattern(preset="strided").mask())


def test_the_first_of_two_has_the_address(opened):
    page = opened("two", "#pattern?preset=dense")
    lists = page.get_by_label(re.compile("^Pattern:"))
    assert [one.input_value() for one in lists.all()] == ["dense", "fixed"]
    assert page.locator(".explorable-note", has_text="The address").count() == 1
    ids = page.locator("[id]").evaluate_all("all => all.map(one => one.id)")
    assert len(ids) == len(set(ids)) == 24**2 + 32**2


def test_a_finger_draws_sideways_and_scrolls_upwards(browser, folder):
    context = browser.new_context(viewport={"width": PHONE, "height": 800}, has_touch=True)
    page = context.new_page()
    page.goto(f"{folder.as_uri()}/index.html")
    page.locator(".explorable-body").wait_for()
    page.get_by_role("button", name="Clear").click()
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

    swipe(place(page, 20, 3), place(page, 20, 16))
    assert line(page, "This square").startswith("14 of 300 pairs")
    before = page.evaluate("scrollY")
    swipe(place(page, 22, 5), place(page, 8, 5))
    assert line(page, "This square").startswith("14 of 300 pairs")
    assert page.evaluate("scrollY") > before
    page.touchscreen.tap(*place(page, 23, 3))
    assert line(page, "This square").startswith("15 of 300 pairs")
    context.close()


@pytest.mark.parametrize("name", ["index", "large"])
@pytest.mark.parametrize("width", [340, PHONE, 1280])
def test_it_fits_and_no_words_of_the_drawing_meet(opened, name, width):
    page = opened(name, width=width)
    choose(page, "Pattern:", "global")
    slide(page, "Layers", 5)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    boxes = page.locator(".explorable-canvas text").evaluate_all(
        "all => all.map(t => [t.textContent, ...['left', 'right', 'top', 'bottom']"
        ".map(side => t.getBoundingClientRect()[side])])"
    )
    for i, (one, left, right, top, bottom) in enumerate(boxes):
        assert left >= 0 and right <= width, one
        for other, left2, right2, top2, bottom2 in boxes[i + 1 :]:
            apart = right <= left2 or right2 <= left or bottom - 3 <= top2 or bottom2 - 3 <= top
            assert apart, (one, other)


@pytest.mark.parametrize(("theme", "width"), [("dark", 1280), ("light", PHONE)])
def test_axe_finds_no_violation(opened, serve, folder, theme, width):
    with serve(folder) as address:  # axe reads the style sheet again
        page = opened("two", "#pattern?preset=random&back=false", address, width=width)
        page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
        page.locator(".explorable-cells").first.focus()
        page.evaluate(AXE.read_text(encoding="utf8"))
        found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
    assert [f"{rule['id']}: {rule['nodes'][0]['html'][:200]}" for rule in found] == []


def test_in_a_notebook_the_keys_are_the_figures_own(visit, tmp_path):
    """JupyterLab has commands of its own for the arrow keys."""
    pytest.importorskip("jupyterlab")
    cell = "from payattention.explorables import Pattern\n\nPattern()"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, tmp_path / "pattern.ipynb")
    with jupyter_lab(tmp_path) as address:
        page, _ = visit(f"{address}/lab/tree/pattern.ipynb?reset", awake=False)
        page.set_default_timeout(DEADLINE_SECONDS * 1000)
        run_first_cell(page)
        page.mouse.click(*place(page, 24, 2))
        for key in ("ArrowUp", "ArrowRight", "Space"):
            page.keyboard.press(key)
        mask = Pattern().mask()
        mask[23, 1] = mask[22, 2] = True
        assert seen(page) == packed(mask)
        page.get_by_role("slider", name=re.compile("^Layers")).focus()
        page.keyboard.press("ArrowRight")
        assert finding(page).startswith("In 3 layers")


def test_it_lives_in_its_chapter(visit, address):
    page, log = visit(f"{address}/{CHAPTER}")
    figure = page.locator('figure[data-explorable="pattern"]')
    figure.locator(".explorable-finding", has_text=re.compile(r"\d")).wait_for()
    figure.get_by_label("Pattern:").select_option("dense")
    assert "hears from all" in figure.locator(".explorable-finding").inner_text()
    assert (log.foreign, log.failed, log.complaints, log.violations) == ([], [], [], [])
