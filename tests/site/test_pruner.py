"""The pruner in a real browser: chosen, pruned, written, from disk and under the policy.

Most weights are random ones of a small shape; the shipped ones are what the chapter's page has.
"""

import json
import re
from pathlib import Path

import nbformat
import pytest
import torch
from lab import DEADLINE_SECONDS, jupyter_lab, run_first_cell
from small_gpt import random_gpt

from extensions import palette_css
from extensions.security_policy import guard
from payattention import data, pruning, weights
from payattention.explorables import Pruner, Writer, bundle, pruner, writer
from payattention.records import Results

CHAPTER = "chapters/sparse_weights.html"
LOADER = Path(__file__).parents[2] / "extensions" / "face" / "explorables-loader.js"
AXE = Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js"
PHONE = 340
PERCENT = "\N{NO-BREAK SPACE}%"
BITS = {
    "magnitude": {0.0: 1.8, 0.5: 2.3, 0.8: 8.1},
    "wanda": {0.0: 1.8, 0.5: 2.1, 0.8: 6.1},
    "chance": {0.0: 1.8, 0.5: 7.7, 0.8: 21.0},
}
STOP_SOON = """
() => new Promise((done) => {
  const all = [...document.querySelectorAll("button")];
  const button = all.find((one) => one.textContent === "Write");
  const watched = new MutationObserver((_, observer) => {
    if (button.textContent !== "Stop") return;
    observer.disconnect();
    setTimeout(() => done(button.click()), 40);
  });
  watched.observe(button, { childList: true });
  button.click();
})
"""
WATCH_SHIFTS = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const { hadRecentInput, value } of list.getEntries())
    if (!hadRecentInput) window.shifts.push(value);
}).observe({ type: "layout-shift" });
"""


def measured() -> Results:
    records = [
        {"score": how, "sparsity": level, "bits": bits}
        for how, row in BITS.items()
        for level, bits in row.items()
    ]
    return Results.from_records("bits_vs_sparsity", records)


@pytest.fixture(scope="module")
def content():
    return weights.pack(random_gpt(), dtype=torch.float16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, content):
    """Pages with the figure: with bits and without, beside a writer, and of a notebook's model."""
    folder = tmp_path_factory.mktemp("pruner")
    static = folder / "_static" / "explorables"
    static.mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "shipped", lambda: content)
        for path, script in writer.scripts().items():
            (static / path).parent.mkdir(exist_ok=True)
            (static / path).write_text(script, encoding="utf-8")
        pages = {
            "index": [Pruner(measured())],
            "bare": [Pruner()],
            "both": [Pruner(measured()), Writer()],
            "kernel": [Pruner(measured(), weights.unpack(content))],
        }
    for name in ("pruner", "writer"):
        (static / f"{name}.js").write_text(bundle.classic_script(name), encoding="utf-8")
    loader = bundle.static_model() + "\n" + LOADER.read_text(encoding="utf-8")
    (static / "loader.js").write_text(loader, encoding="utf-8")
    sheet = palette_css.style_sheet(palette_css.read()) + bundle.stylesheet()
    sheet += "body { background: var(--pa-paper); color: var(--pa-ink); margin: 16px; }"
    (static / "explorables.css").write_text(sheet, encoding="utf-8")
    for name, figures in pages.items():
        page = (
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Pruner</title>'
            '<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
            '<link rel="stylesheet" href="_static/explorables/explorables.css">'
            '<script defer src="_static/explorables/loader.js"></script></head>'
            f"<body><main><h1>Pruner</h1>{''.join(one.fallback() for one in figures)}</main>"
            "</body></html>"
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


def slide(page, label, position):
    page.get_by_role("slider", name=re.compile(label)).fill(str(position))


def choose(page, score):
    page.get_by_role("combobox", name="Left out by").select_option(score)


def box(page):
    return page.get_by_role("textbox", name="Beginning")


def finding(page):
    return page.locator(".explorable-finding").first.inner_text()


def settled(page, says="whole model"):
    """Waits until all is written and said."""
    page.locator(".explorable-finding", has_text=re.compile(says)).wait_for()


def came(page):
    """Waits until the model is here, which then begins to write in the same moment, and is done."""
    page.locator(".explorable-loading", has_text="The model is here").first.wait_for()
    settled(page)


def press_write(page):
    page.get_by_role("button", name="Write", exact=True).click()
    came(page)


def sheets(page):
    """The text of the whole model and that of the pruned one, with their beginning."""
    return page.locator(".explorable-written").evaluate_all("all => all.map(s => s.textContent)")


def written(content, score, sparsity, *, prompt=pruner.PROMPT, temperature=0.8, seed=0):
    """What Python writes with as much left out."""
    figure = Pruner(model=weights.unpack(content), characters=1)
    model = weights.unpack(content)
    pruning.prune(model, figure.masks(sparsity, score))
    return pruner.write(
        model, prompt, characters=pruner.CHARACTERS, temperature=temperature, seed=seed
    )


# Pruning and writing


def test_it_opens_with_what_is_stored(opened, content):
    page = opened()
    assert sheets(page) == [written(content, "magnitude", level) for level in (0.0, 0.5)]
    slide(page, "Weights left out", 95)
    assert sheets(page)[1] == written(content, "magnitude", 0.95)
    slide(page, "Weights left out", 94)
    assert sheets(page)[1] == "“Write” lets the model write here."
    assert page.locator("script[src*='gpt-']").count() == 0


def test_it_writes_what_python_writes(opened, content):
    page = opened()
    for score in ("wanda", "chance", "magnitude"):
        choose(page, score)
        slide(page, "Weights left out", 30)
        press_write(page)
        whole, pruned = (written(content, score, level) for level in (0.0, 0.3))
        assert sheets(page) == [whole, pruned]
        assert finding(page).endswith(pruner.parting(pruner.PROMPT, whole, pruned))
        own = page.locator(".explorable-written-own").last.text_content()
        assert own == pruned[pruner.agreeing(whole, pruned) :]
    page.wait_for_timeout(600)  # spoken once the hand has rested
    heard = page.get_by_role("status").text_content()
    assert heard.startswith(finding(page)) and heard.endswith(
        "It wrote: " + pruned.removeprefix(pruner.PROMPT)
    )


def test_beginning_temperature_and_seed_are_followed(opened, content):
    page = opened()
    box(page).fill("KING JOHN:\nWhät")
    assert page.get_by_text("has never met these and skips them: ä").is_visible()
    slide(page, "Temperature", 3)
    slide(page, "Seed", 7)
    press_write(page)
    asked = {"prompt": "KING JOHN:\nWht", "temperature": 0.3, "seed": 7}
    assert sheets(page) == [written(content, "magnitude", level, **asked) for level in (0, 0.5)]


def test_it_writes_by_itself_after_a_pause(opened, content):
    page = opened()
    page.get_by_role("button", name=re.compile("Load the model")).click()
    came(page)
    slide(page, "Weights left out", 20)
    assert "whole model" not in finding(page)
    settled(page)
    assert sheets(page)[1] == written(content, "magnitude", 0.2)
    box(page).fill("")
    settled(page, "Of an empty text")
    page.wait_for_timeout(1000)
    assert sheets(page) == ["", ""]
    page.get_by_role("button", name="Start again").click()
    settled(page)
    assert box(page).input_value() == pruner.PROMPT


def test_it_stops_and_begins_anew(opened):
    page = opened("index", "#pruner?sparsity=0.3")
    page.evaluate(STOP_SOON)
    assert page.get_by_role("button", name="Write", exact=True).is_visible()
    whole, pruned = (one.removeprefix(pruner.PROMPT) for one in sheets(page))
    assert len(pruned) < pruner.CHARACTERS
    if pruned:
        assert finding(page).endswith(pruner.parting("", whole[: len(pruned)], pruned))
    press_write(page)
    assert all(len(one) == len(pruner.PROMPT) + pruner.CHARACTERS for one in sheets(page))


def test_two_figures_share_the_weights(opened, serve, folder, content):
    with serve(folder) as address:
        page = opened("both", address=address)
        names = "() => performance.getEntriesByType('resource').map((one) => one.name)"
        press_write(page)
        asked = [name for name in page.evaluate(names) if "/gpt-" in name]
        assert len(asked) == len(bundle.parts(content))
        page.get_by_role("button", name="One character").click()
        page.locator(".explorable-loading", has_text="The model is here").last.wait_for()
        page.wait_for_function(
            "least => document.querySelectorAll('textarea')[1].value.length > least",
            arg=len(writer.PROMPT),
        )
        assert [name for name in page.evaluate(names) if "/gpt-" in name] == asked


# What stands beside


def test_bits_and_bytes_follow(opened, content):
    page = opened()
    figure = Pruner(measured(), weights.unpack(content), characters=1)
    dot = page.locator(".explorable-canvas circle")
    for score in BITS:
        choose(page, score)
        for level in (0.0, 0.37, 0.5, 0.8, 0.99):
            slide(page, "Weights left out", round(100 * level))
            figure.score, figure.sparsity = score, level
            assert finding(page).startswith(figure.sentence())
            inside = BITS[score].get(level, 99) <= pruner.CEILING
            assert dot.count() == (1 if inside else 0)
            left = pruner.left(figure._model, score, level)
            label = page.locator(".explorable-canvas svg").last.get_attribute("aria-label")
            for size in (left.dense, left.bitmap, left.columns):
                assert pruner.quantity(size, "bytes") in label.replace("\N{NO-BREAK SPACE}", " ")
            widths = page.locator(".explorable-canvas rect").evaluate_all(
                "all => all.map((bar) => bar.width.baseVal.value)"
            )
            assert widths[1] / widths[0] == pytest.approx(left.bitmap / left.dense, abs=0.02)
    assert page.get_by_text("What needs more than 10 leaves the chart").last.is_visible()
    assert page.locator('.explorable-canvas path[stroke="var(--explorable-memory)"]').count() == 1


def test_without_measured_bits_it_says_so(opened):
    page = opened("bare")
    assert page.get_by_text("No measured bits a character are stored").last.is_visible()
    assert page.locator(".explorable-canvas path").count() == 0
    assert "bits for a character" not in finding(page)
    press_write(page)


# Everywhere


def test_the_address_follows_and_opens_what_was_shared(opened, content):
    page = opened()
    choose(page, "wanda")
    slide(page, "Weights left out", 7)
    box(page).fill("A & B")
    shared = "#pruner?score=wanda&sparsity=0.07&prompt=A%20%26%20B"
    page.wait_for_function("wanted => location.hash === wanted", arg=shared)
    page.get_by_role("button", name="Start again").click()
    page.wait_for_function("() => location.hash === ''")
    again = opened("index", shared)
    assert box(again).input_value() == "A & B"
    press_write(again)
    assert sheets(again)[1] == written(content, "wanda", 0.07, prompt="A & B")
    again.evaluate("location.hash = '#pruner?sparsity=0.8&score=size&seed=x'")
    again.locator(".explorable-finding", has_text=f"80{PERCENT} of the").wait_for()
    assert again.get_by_role("combobox").input_value() == "magnitude"


def test_by_keyboard_alone(opened):
    page = opened()
    page.get_by_role("button", name=re.compile("Load the model")).focus()
    page.keyboard.press("Enter")
    came(page)
    focused = "document.activeElement.textContent"
    assert page.evaluate(focused) in ("Write", "Stop")  # what had the focus is gone
    for _ in range(5):
        page.keyboard.press("Shift+Tab")
    page.keyboard.press("ArrowDown")
    assert page.get_by_role("combobox").input_value() == "wanda"
    page.keyboard.press("Tab")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert f"With 53{PERCENT} of the" in finding(page)
    settled(page)
    page.keyboard.press("Home")
    assert finding(page).startswith("Nothing is left out")
    page.get_by_role("button", name="Start again").focus()
    page.keyboard.press("Tab")
    assert page.locator(".explorable-written").first.evaluate("s => s === document.activeElement")


def test_a_model_of_a_notebook_shows_what_is_stored_of_it(opened, content):
    page = opened("kernel")
    assert page.get_by_text("This model is in its notebook").is_visible()
    assert page.get_by_role("button", name="Write", exact=True).is_disabled()
    slide(page, "Weights left out", 80)
    assert sheets(page)[1] == written(content, "magnitude", 0.8)
    slide(page, "Weights left out", 81)
    assert sheets(page)[1] == pruner.PROMPT


def test_without_javascript_texts_and_curve_remain(opened, content):
    page = opened(javascript=False)
    assert page.locator(".explorable-fallback svg").is_visible()
    texts = page.locator(".explorable-sample").all_text_contents()
    assert texts == [written(content, "magnitude", level) for level in pruner.SAMPLED]
    assert page.locator(".explorable-findings li").count() == 7
    assert page.locator("button, input, select, textarea").count() == 0


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_moves_while_it_loads_and_writes(opened, width):
    page = opened(width=width)
    page.evaluate(WATCH_SHIFTS)
    slide(page, "Weights left out", 30)
    press_write(page)
    for score in ("chance", "wanda"):
        choose(page, score)
        settled(page)
    page.wait_for_timeout(600)
    assert sum(page.evaluate("window.shifts")) < 0.02
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_no_words_of_the_chart_meet_on_a_phone(opened):
    page = opened(width=PHONE)
    for level in (0, 3, 12, 50, 97, 99):
        slide(page, "Weights left out", level)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE
        boxes = page.locator(".explorable-canvas text").evaluate_all(
            "all => all.map(t => [t.textContent, ...['left', 'right', 'top', 'bottom']"
            ".map(side => t.getBoundingClientRect()[side])])"
        )
        for i, (one, left, right, top, bottom) in enumerate(boxes):
            assert left >= 0 and right <= PHONE, one
            for other, left2, right2, top2, bottom2 in boxes[i + 1 :]:
                apart = right <= left2 or right2 <= left or bottom - 3 <= top2 or bottom2 - 3 <= top
                assert apart, (one, other)


@pytest.mark.parametrize(("theme", "width"), [("dark", 1280), ("light", PHONE)])
def test_axe_finds_no_violation(opened, serve, folder, theme, width):
    with serve(folder) as address:  # axe reads the style sheet again
        page = opened("index", "#pruner?score=chance&sparsity=0.2", address, width=width)
        page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
        page.evaluate(AXE.read_text(encoding="utf8"))

        def violations():
            found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
            return [f"{rule['id']}: {rule['nodes'][0]['html']}" for rule in found["violations"]]

        assert violations() == []
        press_write(page)
        assert violations() == []


def test_a_kernel_gives_the_model_and_the_notebook_does_not_keep_it(visit, tmp_path):
    pytest.importorskip("jupyterlab")
    cell = "from payattention.explorables import Pruner\n\nPruner()"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    path = tmp_path / "pruner.ipynb"
    nbformat.write(notebook, path)
    with jupyter_lab(tmp_path) as address:
        page, log = visit(f"{address}/lab/tree/pruner.ipynb?reset", awake=False)
        page.set_default_timeout(DEADLINE_SECONDS * 1000)
        run_first_cell(page)
        page.get_by_role("combobox", name="Left out by").wait_for()
        choose(page, "wanda")
        slide(page, "Weights left out", 40)
        box(page).fill("“A” as letters that no kernel takes: é")
        press_write(page)
        assert len(sheets(page)[1]) == len("A as letters that no kernel takes: ") + 160
        page.keyboard.press("Control+s")
        page.wait_for_timeout(3000)
        assert page.locator(".jp-OutputArea-output[data-mime-type*=error]").count() == 0
        assert [url for url in log.foreign if not url.startswith(("ws:", "wss:"))] == []
    saved = path.read_text(encoding="utf-8")
    assert json.loads(saved)["cells"][0]["outputs"]
    assert len(saved) < 300_000


def test_it_lives_in_its_chapter(visit, address):
    page, log = visit(f"{address}/{CHAPTER}")
    figure = page.locator('figure[data-explorable="pruner"]')
    figure.scroll_into_view_if_needed()
    figure.get_by_role("combobox", name="Left out by").select_option("wanda")
    figure.get_by_role("slider", name=re.compile("Weights left out")).fill("40")
    press_write(figure)
    state = json.loads(figure.locator('script[type="application/json"]').text_content())
    shown = Pruner(prompt=state["prompt"], temperature=state["temperature"], seed=state["seed"])
    shown.score = "wanda"
    pruned = shown.written(0.4)
    assert sheets(figure)[1] == pruned
    assert data.encode(pruned).shape == (len(pruned),)
    assert (log.foreign, log.failed, log.complaints, log.violations) == ([], [], [], [])
