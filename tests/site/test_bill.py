"""The bill in a real browser: chosen by hand and by keyboard, shared by its address, refused."""

import re
from pathlib import Path

import pytest

from extensions import palette_css
from extensions.security_policy import guard
from payattention.cost import operations, parameters
from payattention.explorables import Bill, bundle
from payattention.explorables.bill import MODELS
from payattention.explorables.quantities import amount
from payattention.shape import GPT2_SMALL, GPT3

LOADER = Path(__file__).parents[2] / "extensions" / "face" / "explorables-loader.js"
AXE = Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js"
PHONE = 340


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pages with the figure: at the top, far below it, twice, and in its small form."""
    folder = tmp_path_factory.mktemp("bill")
    static = folder / "_static" / "explorables"
    static.mkdir(parents=True)
    (static / "bill.js").write_text(bundle.classic_script("bill"), encoding="utf-8")
    loader = bundle.static_model() + "\n" + LOADER.read_text(encoding="utf-8")
    (static / "loader.js").write_text(loader, encoding="utf-8")
    sheet = palette_css.style_sheet(palette_css.read()) + bundle.stylesheet()
    sheet += "body { background: var(--pa-paper); color: var(--pa-ink); margin: 16px; }"
    (static / "explorables.css").write_text(sheet + " .far { height: 3000px; }", encoding="utf-8")
    whole, small = Bill().fallback(), Bill(small=True).fallback()
    pages = {
        "index": whole,
        "far": f'<div class="far"></div>{whole}',
        "two": whole + whole,
        "small": small,
    }
    for name, figures in pages.items():
        page = (
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Bill</title>'
            '<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
            '<link rel="stylesheet" href="_static/explorables/explorables.css">'
            '<script defer src="_static/explorables/loader.js"></script></head>'
            f"<body><main><h1>Bill</h1>{figures}</main></body></html>"
        )
        (folder / f"{name}.html").write_text(guard(page), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def address(serve, folder):
    with serve(folder) as address:
        yield address


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
    page.get_by_role("slider", name=re.compile(label)).fill(str(position))


def finding(page):
    return page.locator(".explorable-finding").inner_text()


def line(page, title):
    """The sum at the right of a line of the bill."""
    return page.locator(".explorable-line", has_text=title).locator("strong").inner_text()


def test_another_model_brings_its_sizes_and_its_length(opened):
    page = opened()
    choose(page, "Model:", "gpt3")
    assert finding(page).startswith("GPT-3 reads 1 text of 2,048 tokens")
    assert line(page, "Parameters") == amount(sum(parameters.decoder(GPT3).values()))
    flops = sum(operations.forward(GPT3, tokens=2048).values())
    assert line(page, "Reading: operations") == f"{amount(flops)} operations"
    page.get_by_text("Sizes of the model").click()
    assert page.get_by_label("Layers").input_value() == "96"


@pytest.mark.parametrize("model", MODELS)
def test_every_model_is_billed_without_a_hole(opened, model):
    page = opened()
    choose(page, "Model:", model)
    text = page.locator(".explorable-body").inner_text()
    assert MODELS[model].name in text
    assert not re.search(r"NaN|undefined|Infinity|null|\{\w+\}", text)
    writes = MODELS[model].does == "writes"
    assert listed(page, "What is done with it:").is_visible() == writes
    assert ("One more token" in text) == writes
    if writes:
        choose(page, "What is done with it:", "train")
        text = page.locator(".explorable-body").inner_text()
        assert not re.search(r"NaN|undefined|Infinity|null|\{\w+\}", text)
        assert "optimiser" in text and "300 billion tokens trained on" in text


def test_what_cannot_be_is_said_beside_its_field_and_nothing_is_billed(opened):
    page = opened()
    page.get_by_text("Sizes of the model").click()
    heads = listed(page, "Heads").first
    before = line(page, "Parameters")
    heads.fill("5")
    error = page.locator(f"#{heads.get_attribute('aria-describedby')}")
    assert error.inner_text() == "5 does not divide d_model, 768"
    assert heads.get_attribute("aria-invalid") == "true"
    assert "5 does not divide" in finding(page)
    assert line(page, "Parameters") == before
    assert page.locator(".explorable-stale").count() == 3
    page.get_by_label("Width (d_model)").fill("770")  # and now it does
    assert heads.get_attribute("aria-invalid") is None and error.inner_text() == ""
    assert finding(page).startswith("GPT-2 small, changed, reads")
    assert page.locator(".explorable-stale").count() == 0
    for nonsense in ("", "0", "-4", "2.5", "1e9"):
        heads.fill(nonsense)
        assert "a whole number from 1 to 1,000" in error.inner_text()
    page.get_by_role("button", name="Start again").click()
    assert heads.input_value() == "12" and line(page, "Parameters") == before


def test_numbers_that_a_machine_does_not_have(opened):
    page = opened()
    choose(page, "Numbers in:", "float64")
    error = page.locator(".explorable-error:visible")
    assert "NVIDIA H100 SXM has no rate for it; there are bfloat16" in error.inner_text()
    choose(page, "Numbers in:", "float32")
    assert error.count() == 0
    choose(page, "On:", "TPU v4")  # which has none for 32 bits either
    assert listed(page, "Numbers in:").input_value() == "bfloat16"
    assert "no price known" in page.locator(".explorable-spent").inner_text()


def test_what_does_not_fit_says_how_many_would_hold_it(opened):
    page = opened()
    choose(page, "Model:", "llama")
    choose(page, "Numbers in:", "float32")
    choose(page, "On:", "laptop DDR4")
    note = page.locator(".explorable-note", has_text="would hold it")
    assert "2 of them" in note.inner_text()
    choose(page, "Numbers in:", "int4")
    assert note.count() == 0


def test_the_address_follows_and_fills_no_history(opened):
    page = opened()
    length = page.evaluate("history.length")
    for position in (0, 20, 44):
        slide(page, "Length", position)
    choose(page, "On:", "A100")
    page.wait_for_function("() => location.hash === '#bill?tokens=2048&accelerator=A100'")
    assert page.evaluate("history.length") == length
    page.get_by_role("button", name="Start again").click()
    page.wait_for_function("() => location.hash === ''")


def test_a_shared_address_opens_the_bill_that_was_shared(opened, address):
    fragment = "#bill?model=gpt3&work=train&accelerator=V100&dtype=float16&utilisation=0.22"
    page = opened(fragment=fragment, address=address)
    assert listed(page, "Model:").input_value() == "gpt3"
    assert "367\N{NO-BREAK SPACE}years" in page.locator(".explorable-spent").inner_text()
    page.evaluate(
        "location.hash = '#bill?tokens=3&heads=7&colour=red'"
    )  # and one is pasted over it
    page.wait_for_function("() => document.querySelector('select').value === 'gpt2'")
    assert finding(page).startswith("GPT-2 small reads 1 text of 3 tokens")


def test_an_address_finds_its_figure_far_below(opened):
    page = opened("far", "#bill?tokens=64", awake=False)
    page.locator(".explorable-finding", has_text="64 tokens").wait_for()
    assert page.evaluate("scrollY") > 2000


def test_the_first_of_two_has_the_address(opened):
    page = opened("two", "#bill?tokens=64")
    said = page.locator(".explorable-finding").all_inner_texts()
    assert ["64 tokens" in one for one in said] == [True, False]
    assert page.locator(".explorable-note", has_text="The address").count() == 1


def test_by_keyboard_alone(opened):
    page = opened()
    listed(page, "Model:").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    assert "2,048 tokens" in finding(page)
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    assert "2 texts" in finding(page)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # opens the sizes
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowUp")
    assert page.get_by_label("Layers").input_value() == "13"
    assert finding(page).startswith("GPT-2 small, changed, reads 2 texts of 2,048 tokens")


def test_the_chart_can_be_dragged(opened):
    page = opened()
    page.locator(".explorable-canvas").scroll_into_view_if_needed()
    box = page.locator(".explorable-canvas svg").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 90)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] + 50, box["y"] + 90)
    page.mouse.up()
    assert "1,048,576 tokens" in finding(page)
    page.mouse.move(box["x"], box["y"] + 90)  # let go: nothing moves any more
    assert "1,048,576 tokens" in finding(page)


def test_the_thin_bar_is_what_is_needed(opened):
    page = opened()
    slide(page, "Length", 80)
    widths = page.locator(".explorable-stack").evaluate_all(
        """all => all.slice(0, 2).map(svg => Math.max(...[...svg.children].map(
          (bar) => bar.x.baseVal.value + bar.width.baseVal.value)))"""
    )
    executed = sum(operations.forward(GPT2_SMALL, tokens=2**20).values())
    pairs = operations.needed_pairs(2**20)
    needed = sum(operations.forward(GPT2_SMALL, tokens=2**20, pairs=pairs).values())
    assert widths[1] / widths[0] == pytest.approx(needed / executed, abs=0.01)
    assert "knows no more than 1,024 places" in page.locator(".explorable-body").inner_text()


@pytest.mark.parametrize("model", ["gpt2", "vit"])
def test_no_words_of_the_chart_meet_on_a_phone(opened, model):
    page = opened(width=PHONE)
    choose(page, "Model:", model)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE
    for position in (4, 30, 48, 49, 50, 80):
        slide(page, "Length", position)
        boxes = page.locator(".explorable-canvas text").evaluate_all(
            "all => all.map(t => [t.textContent, ...['left', 'right', 'top', 'bottom']"
            ".map(side => t.getBoundingClientRect()[side])])"
        )
        for i, (one, left, right, top, bottom) in enumerate(boxes):
            assert left >= 0 and right <= PHONE, one
            for other, left2, right2, top2, bottom2 in boxes[i + 1 :]:
                apart = right <= left2 or right2 <= left or bottom - 3 <= top2 or bottom2 - 3 <= top
                assert apart, (one, other)


def test_the_small_form_has_two_sliders_and_leaves_the_address_alone(opened):
    page = opened("small", "#bill?tokens=64")
    assert page.get_by_role("slider").count() == 2
    assert page.locator("select, input[type=number]").count() == 0
    slide(page, "Length", 0)
    page.get_by_role("slider", name=re.compile("Model")).press("End")
    assert "operations to read 1 token" in page.locator(".explorable-body").inner_text()
    assert page.locator(".explorable-pay strong").inner_text() == amount(
        sum(operations.forward(GPT3, tokens=1).values())
    )
    page.wait_for_timeout(400)
    assert page.evaluate("location.hash") == "#bill?tokens=64"


def test_a_number_that_is_typed_is_not_changed_under_the_hand(opened):
    page = opened()
    page.get_by_text("Sizes of the model").click()
    vocab = page.get_by_label("Vocabulary (vocab)")
    vocab.fill("")
    vocab.press_sequentially("32000")
    assert vocab.input_value() == "32000"
    assert finding(page).startswith("GPT-2 small, changed,")


@pytest.mark.parametrize(("theme", "width"), [("dark", 1280), ("light", PHONE)])
@pytest.mark.parametrize("name", ["index", "small"])
def test_axe_finds_no_violation(opened, address, name, theme, width):
    page = opened(name, address=address, width=width)  # axe reads the style sheet again
    page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
    page.evaluate(AXE.read_text(encoding="utf8"))

    def violations():
        found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
        return [f"{rule['id']}: {rule['nodes'][0]['html'][:200]}" for rule in found]

    assert violations() == []
    if name == "index":
        choose(page, "What is done with it:", "train")
        page.get_by_text("Sizes of the model").click()
        assert violations() == []
        listed(page, "Heads").first.fill("7")  # what is wrong is readable, too
        page.locator(".explorable-stale").evaluate_all("all => all.forEach((one) => one.remove())")
        assert violations() == []
