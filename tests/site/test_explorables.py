"""Explorables in a real browser, with no kernel: moved by hand, and looked at.

The page is a small one of its own, served under the strict policy that the book's pages
have, and once more opened from disk.
"""

import json
import math
import re
from pathlib import Path

import pytest
from made_up_answers import between
from made_up_depths import depths
from made_up_steps import machine
from mixing_cells import made_up
from small_gpt import random_gpt

from payattention.explorables import (
    AttentionMap,
    Bill,
    Budget,
    Crowding,
    Fading,
    Fleet,
    MixingMap,
    Pattern,
    Pruner,
    Softmax,
    Writer,
    bundle,
    softmax,
)
from payattention.explorables.attention_map import on_the_one_before, unpacked
from payattention.explorables.crowding import attention_numbers, expected_recall
from payattention.explorables.fading import half_life, remaining
from payattention.records import Results

LOADER = Path(__file__).parents[2] / "extensions" / "face" / "explorables-loader.js"
AXE = Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js"
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:"
HOST = "http://book.test"

MEASURED = [{"name": "LSTM", "gaps": [1, 8, 64, 256], "norms": [0.9, 0.5, 0.03, 0.001]}]
COUNTED = [{"d_model": 64, "pairs": [64, 128, 256, 512], "recalled": [1.0, 0.98, 0.76, 0.34]}]
PRUNED = {"score": ["magnitude", "wanda"] * 3, "sparsity": [0.0, 0.0, 0.5, 0.5, 0.9, 0.9]}
PRUNED["bits"] = [1.8, 1.8, 2.3, 2.1, 7.8, 6.2]
FIGURES = {
    "fading": lambda: Fading(curves=MEASURED),
    "crowding": lambda: Crowding(curves=COUNTED),
    "softmax": Softmax,
    "attention_map": AttentionMap,
    "writer": lambda: Writer(random_gpt()),
    "pruner": lambda: Pruner(Results("bits_vs_sparsity", PRUNED), random_gpt()),
    "bill": Bill,
    "fleet": Fleet,
    "budget": Budget,
    "pattern": Pattern,
    "between": between,
    "mixing_map": lambda: MixingMap(made_up()),
    "depths": depths,
    "halting_machine": machine,
}
GUESSED = ("fading", "crowding", "softmax")  # that ask before they show
MARK = {  # what each draws in its idea's colour, once there is something to see
    "fading": '.explorable-canvas path[stroke="var(--explorable-recurrence)"]',
    "crowding": '.explorable-canvas path[stroke="var(--explorable-recurrence)"]',
    "softmax": '.explorable-trio path[stroke="var(--explorable-attention)"]',
    "attention_map": '.explorable-lines path[stroke="var(--explorable-attention)"]',
    "writer": '.explorable-strips path[stroke="var(--explorable-attention)"]',
    "pruner": '.explorable-canvas path[stroke="var(--explorable-memory)"]',
    "bill": '.explorable-canvas path[stroke="var(--explorable-attention)"]',
    "fleet": '.explorable-canvas path[stroke="var(--explorable-money)"]',
    "budget": '.explorable-canvas path[stroke="var(--explorable-money)"]',
    "pattern": '.explorable-canvas path[stroke="var(--explorable-attention)"]',
    "between": '.explorable-canvas path[stroke="var(--explorable-convolution)"]',
    "mixing_map": '.explorable-canvas path[stroke="var(--explorable-recurrence)"]',
    "depths": '.explorable-canvas path[stroke="var(--explorable-time)"]',
    "halting_machine": '.explorable-canvas circle[stroke="var(--explorable-recurrence)"]',
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with one page and all figures, built as the book builds them."""
    folder = tmp_path_factory.mktemp("site")
    scripts = folder / "_static" / "explorables"
    scripts.mkdir(parents=True)
    for name in FIGURES:
        (scripts / f"{name}.js").write_text(bundle.classic_script(name), encoding="utf-8")
    loader = bundle.static_model() + "\n" + LOADER.read_text(encoding="utf-8")
    (scripts / "loader.js").write_text(loader, encoding="utf-8")
    (scripts / "explorables.css").write_text(bundle.stylesheet(), encoding="utf-8")
    shades = (
        (
            selector,
            "".join(
                f"--pa-{k.replace('_', '-')}: {v[theme]};" for k, v in bundle.palette().items()
            ),
        )
        for selector, theme in (("html", "light"), ("html[data-theme=dark]", "dark"))
    )
    palette = "".join(f"{selector} {{ {variables} }}\n" for selector, variables in shades)
    (folder / "palette.css").write_text(palette + "body { margin: 16px; }", encoding="utf-8")
    figures = "".join(figure().fallback() for figure in FIGURES.values())
    (folder / "index.html").write_text(
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Figures</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width">'
        '<link rel="icon" href="data:,"><link rel="stylesheet" href="palette.css">'
        '<link rel="stylesheet" href="_static/explorables/explorables.css">'
        '<script defer src="_static/explorables/loader.js"></script>'
        f"<main><h1>Figures</h1>{figures}</main></html>",
        encoding="utf-8",
    )
    return folder


@pytest.fixture
def opened(browser, site):
    """Opens the page; at the end nothing may have gone wrong or have been asked of others."""
    contexts, wrong = [], []

    def answer(route):
        path = site / (
            route.request.url.removeprefix(HOST).split("?")[0].lstrip("/") or "index.html"
        )
        if route.request.url.startswith(HOST) and path.is_file():
            route.fulfill(path=path)
        else:
            wrong.append(route.request.url)
            route.abort()

    def open_page(*, javascript=True, width=800, **settings):
        context = browser.new_context(
            java_script_enabled=javascript, viewport={"width": width, "height": 900}, **settings
        )
        contexts.append(context)
        context.route("**/*", answer)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(f"{HOST}/index.html")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def live(page, name):
    """The figure, brought into view and awake."""
    figure = page.locator(f'figure[data-explorable="{name}"]')
    figure.scroll_into_view_if_needed()
    figure.locator(".explorable-body").wait_for()
    return figure


def revealed(page, name):
    figure = live(page, name)
    if name in GUESSED:
        figure.get_by_role("button", name="Show me").click()
    settled(figure)
    return figure


def settled(figure, said=r"\d"):
    """Waits until the finding says it; where much is to be drawn it comes a moment later."""
    figure.locator(".explorable-finding", has_text=re.compile(said)).wait_for()


def slide(figure, label, position):
    figure.get_by_role("slider", name=re.compile(label)).fill(str(position))


def finding(figure):
    return figure.locator(".explorable-finding").inner_text()


def lines(figure, idea):
    return figure.locator(f'.explorable-canvas path[stroke="var(--explorable-{idea})"]')


def percent(share):
    """As the figure writes it, for shares from 0.1 % to 9.9 %."""
    return f"{100 * share:.2g}\u00a0%"


@pytest.mark.parametrize("name", ["fading", "crowding"])
def test_nothing_is_shown_before_the_guess(opened, name):
    figure = live(opened(), name)
    assert lines(figure, "recurrence").count() == 0
    assert "hidden until you have guessed" in finding(figure)
    slide(figure, "My guess", 50)
    assert "your guess 32" in figure.locator("svg[role=img]:visible").text_content()
    assert lines(figure, "recurrence").count() == 0
    figure.get_by_role("button", name="Show me").click()
    assert lines(figure, "recurrence").count() >= 1
    settled(figure, "You guessed 32")
    figure.get_by_role("button", name="Guess again").click()
    assert lines(figure, "recurrence").count() == 0


def test_fading_follows_gate_and_gap(opened):
    figure = revealed(opened(), "fading")
    for position, gate, gap_position, gap in ((33, 0.95, 40, 16), (66, 0.995, 90, 512)):
        slide(figure, "Kept at each step", position)
        slide(figure, "Steps since", gap_position)
        said = finding(figure)
        assert f"A gate of {gate:g} forgets half in {half_life(gate):.3g} steps" in said
        left = remaining(gate, gap)
        assert (percent(left) if left < 0.1 else f"{100 * left:.3g}\u00a0%") in said
        assert (
            f"half-life {half_life(gate):.3g} steps"
            in figure.locator(".explorable-canvas").text_content()
        )
    slide(figure, "Kept at each step", 100)
    assert "A gate of 1 forgets nothing" in finding(figure)


def test_the_question_asks_about_the_gate_as_it_is(opened):
    figure = revealed(opened(), "fading")
    slide(figure, "Kept at each step", 66)
    figure.get_by_role("button", name="Guess again").click()
    assert "A gate of 0.995" in figure.locator(".explorable-question").inner_text()


def test_fading_inks_each_word_by_its_distance(opened):
    figure = revealed(opened(), "fading")
    slide(figure, "Steps since", 30)
    words = figure.locator(".explorable-passage span")
    left = words.evaluate_all("spans => spans.map(s => Number(s.style.getPropertyValue('--left')))")
    assert left == pytest.approx([remaining(0.95, ago) for ago in range(len(left), 0, -1)])
    marked = figure.locator(".explorable-token")
    assert marked.count() == 1
    eighth = words.nth(words.count() - 8)
    assert marked.get_attribute("data-word") == eighth.get_attribute("data-word")
    assert f"Of “{marked.get_attribute('data-word').rstrip('.,:;')}”, seen 8 steps ago" in finding(
        figure
    )
    slide(figure, "Steps since", 90)
    assert marked.count() == 0
    beyond = 512 - words.count()
    assert f"{beyond} steps further back" in figure.locator(".explorable-note").inner_text()


def test_fading_draws_the_measured_curves_and_names_them(opened):
    figure = revealed(opened(), "fading")
    assert lines(figure, "muted").count() == 1
    assert "LSTM" in figure.locator(".explorable-legend").inner_text()


def test_fading_can_be_dragged(opened):
    page = opened()
    figure = revealed(page, "fading")
    box = figure.locator(".explorable-canvas svg").bounding_box()
    page.mouse.move(box["x"] + 120, box["y"] + 120)
    page.mouse.down()
    near = figure.get_by_label(re.compile("Steps since")).input_value()
    page.mouse.move(box["x"] + box["width"] - 40, box["y"] + 120)
    page.mouse.up()
    far = figure.get_by_label(re.compile("Steps since")).input_value()
    assert int(near) < 20 < 70 < int(far)
    page.mouse.move(box["x"] + 120, box["y"] + 120)  # let go: nothing moves any more
    assert figure.get_by_label(re.compile("Steps since")).input_value() == far


def test_crowding_counts_and_bills(opened):
    figure = revealed(opened(), "crowding")
    figure.get_by_label(re.compile("Size of the state")).select_option("32")
    slide(figure, "Pairs stored", 70)
    said = finding(figure)
    right = int(re.search(r"answers (\d+) right", said)[1])
    assert right / 128 == pytest.approx(expected_recall(32, 128), abs=0.2)
    assert f"attention keeps {attention_numbers(32, 128):,} and answers 128 right" in said
    assert "The state keeps 1,024 numbers" in said
    squares = figure.locator(".explorable-field").first.locator("path")
    filled = squares.nth(2).get_attribute("d").count("M")
    hollow = squares.nth(1).get_attribute("d").count("M")
    assert (filled, hollow) == (right, 128 - right)


def test_crowding_draws_again_and_keeps_the_dots(opened):
    page = opened()
    figure = revealed(page, "crowding")
    figure.get_by_label(re.compile("Size of the state")).select_option("16")
    slide(figure, "Pairs stored", 60)
    dots = figure.locator('.explorable-canvas circle[fill="var(--explorable-recurrence)"]')
    before, seen = dots.count(), set()
    for _ in range(4):
        seen.add(finding(figure))
        figure.get_by_role("button", name="Draw other pairs").click()
    assert dots.count() == before + 4
    assert len(seen) > 1


def test_crowding_keeps_up_with_the_hand(opened):
    page = opened()
    live(page, "crowding")
    milliseconds = page.evaluate(
        """() => {
          const { simulate } = window.payattentionExplorables.crowding;
          simulate(32, 512, 1);
          const start = performance.now();
          for (let seed = 0; seed < 5; seed++) simulate(32, 512, seed);
          return (performance.now() - start) / 5;
        }"""
    )
    assert milliseconds < 250  # about 25 on a quiet machine; generous where others compute


def test_wide_states_are_drawn_once_the_hand_rests(opened):
    page = opened()
    figure = revealed(page, "crowding")
    figure.get_by_label(re.compile("Size of the state")).select_option("128")
    slide(figure, "Pairs stored", 70)
    assert "16,384 numbers kept" in figure.locator(".explorable-columns").inner_text()
    settled(figure, "128 pairs stored. The state keeps 16,384")
    assert "128 of 128 right" in figure.locator(".explorable-columns").inner_text()


# Softmax


def bars(figure):
    return figure.locator('.explorable-canvas rect[fill="var(--explorable-attention)"]')


def weights_in_words(figure):
    return figure.locator(".explorable-canvas svg").last.get_attribute("aria-label")


def largest(figure):
    """The largest weight in this draw and on average, in per cent, as the finding says them."""
    said = re.search(
        r"weight is ([\d.]+).% in this draw and ([\d.]+).% on average", finding(figure)
    )
    return float(said[1]), float(said[2])


def test_softmax_hides_the_weights_until_there_is_a_guess(opened):
    figure = live(opened(), "softmax")
    assert bars(figure).count() == 0 and "hidden" in weights_in_words(figure)
    assert not figure.locator(".explorable-trio").is_visible()
    assert "512 random numbers each" in figure.locator(".explorable-question").inner_text()
    slide(figure, "My guess", 40)
    assert "your guess 53\u00a0%" in figure.locator(".explorable-canvas").text_content()
    figure.get_by_role("button", name="Show me").click()
    assert bars(figure).count() == softmax.KEYS
    assert "You guessed 53\u00a0%" in finding(figure)
    figure.get_by_role("button", name="Guess again").click()
    assert bars(figure).count() == 0


@pytest.mark.parametrize(("power", "d"), [(0, 1), (3, 8), (9, 512)])
def test_softmax_says_what_python_finds(opened, power, d):
    figure = revealed(opened(), "softmax")
    slide(figure, "Width of query", power)
    for choice, divided in (("no", False), ("yes", True)):
        figure.get_by_label("The scores are").select_option(choice)
        expected = softmax.averages(d, divided=divided)["largest_weight"]
        assert largest(figure)[1] == pytest.approx(100 * expected, abs=2.5)
        assert figure.locator("svg[aria-label^='Entropy'] circle").count() == 1
        heights = bars(figure).evaluate_all("all => all.map(bar => bar.height.baseVal.value)")
        # the chart is 101 pixels high, and no bar is lower than one
        assert sum(heights) == pytest.approx(101, abs=softmax.KEYS)
        assert max(heights) / 101 == pytest.approx(largest(figure)[0] / 100, abs=0.02)


def test_a_temperature_does_what_the_division_does(opened):
    figure = revealed(opened(), "softmax")
    sharp = weights_in_words(figure)
    figure.get_by_label("The scores are").select_option("yes")
    divided, averages = weights_in_words(figure), largest(figure)
    assert divided != sharp
    figure.get_by_label("The scores are").select_option("no")
    assert weights_in_words(figure) == sharp
    position = 8 + round(4 * math.log2(math.sqrt(512)))
    slide(figure, "Temperature", position)
    assert weights_in_words(figure) == divided and largest(figure) == averages
    assert "A temperature of 22.6 is √512" in finding(figure)
    figure.get_by_label("The scores are").select_option("yes")
    assert "Divided twice over" in finding(figure)


def test_softmax_draws_again(opened):
    figure = revealed(opened(), "softmax")
    seen, averages = set(), set()
    for _ in range(4):
        seen.add(figure.locator(".explorable-canvas svg").first.get_attribute("aria-label"))
        averages.add(largest(figure)[1])
        figure.get_by_role("button", name="Draw other vectors").click()
    assert len(seen) == 4 and len(averages) == 1


# Attention maps


def chosen(figure):
    return figure.locator(".explorable-word input:checked + span").inner_text()


def thumbnail(figure, layer, head):
    return figure.locator(".explorable-overview g").nth(12 * layer + head)


def read_aloud(**state):
    """The finding's beginning, as Python says it."""
    return AttentionMap(**state).findings()[0].rstrip(".")


def test_a_word_is_picked_by_mouse_and_by_arrow_keys(opened):
    page = opened()
    figure = live(page, "attention_map")
    assert chosen(figure) == "it" and finding(figure).startswith(read_aloud())
    figure.locator(".explorable-word", has_text="street").click()
    assert finding(figure).startswith(read_aloud(word=8))
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert chosen(figure) == "it" and finding(figure).startswith(read_aloud())
    page.keyboard.press("ArrowUp")
    assert chosen(figure) == "because" and finding(figure).startswith(read_aloud(word=9))
    # the words are one stop of the tab key
    assert figure.locator(".explorable-word input:focus").count() == 1
    page.keyboard.press("Tab")
    assert figure.locator(".explorable-word input:focus").count() == 0


def test_a_word_is_picked_by_touch(opened):
    figure = live(opened(width=390, has_touch=True), "attention_map")
    figure.locator(".explorable-word", has_text="cross").tap()
    assert finding(figure).startswith(read_aloud(word=6))
    thumbnail(figure, 5, 11).tap()
    assert finding(figure).startswith(read_aloud(word=6, layer=5, head=11))


def test_sliders_and_overview_choose_the_same_head(opened):
    figure = live(opened(), "attention_map")
    slide(figure, "Layer", 2)
    slide(figure, "Head", 7)
    by_hand = finding(figure)
    assert by_hand.startswith(read_aloud(layer=2, head=7))
    thumbnail(figure, 4, 0).click()
    assert finding(figure).startswith(read_aloud(layer=4, head=0))
    assert figure.get_by_role("slider", name="Layer").input_value() == "4"
    thumbnail(figure, 2, 7).click()
    assert finding(figure) == by_hand
    figure.locator(".explorable-overview").click(position={"x": 3, "y": 3})  # beside all heads
    assert finding(figure) == by_hand


def test_the_head_that_looks_back_is_recognised(opened):
    figure = live(opened(), "attention_map")
    note = figure.locator(".explorable-task + .explorable-note")
    before = on_the_one_before(unpacked(AttentionMap().maps[0]))
    for place in (int(before.argmin()), int(before.argmax())):
        layer, head = divmod(place, 12)
        thumbnail(figure, layer, head).click()
        share = f"{100 * before[layer, head]:.0f}\u00a0%"
        assert f"layer {layer}, head {head} the word before gets {share}" in note.inner_text()
        assert ("That is it" in note.inner_text()) == (place == before.argmax())


def test_another_sentence_keeps_a_word_that_it_has(opened):
    figure = live(opened(), "attention_map")
    figure.locator(".explorable-word").last.click()
    figure.get_by_label("Sentence").select_option("2")
    tokens = AttentionMap().maps[2]["tokens"]
    assert figure.locator(".explorable-word").all_inner_texts() == tokens
    assert finding(figure).startswith(read_aloud(sentence=2, word=len(tokens) - 1))


def test_the_heat_map_is_there_where_there_is_room_and_picks_a_row(opened):
    narrow, wide = (live(opened(width=width), "attention_map") for width in (390, 1000))
    assert narrow.locator(".explorable-heat").count() == 0
    for figure in (narrow, wide):
        assert figure.locator(".explorable-lines svg").is_visible()
    box = wide.locator(".explorable-heat").bounding_box()
    label = wide.locator(".explorable-word", has_text="tired").bounding_box()
    height = label["y"] + label["height"] / 2 - box["y"]  # level with the word beside it
    wide.locator(".explorable-heat").click(position={"x": 40, "y": height})
    assert chosen(wide) == "tired" and finding(wide).startswith(read_aloud(word=13))
    wide.locator(".explorable-heat").click(position={"x": 40, "y": 5})  # above the rows
    assert chosen(wide) == "tired"
    squares = wide.locator(".explorable-heat rect[fill='var(--explorable-attention)']")
    opacities = squares.evaluate_all("all => all.map(s => Number(s.getAttribute('fill-opacity')))")
    weights = unpacked(AttentionMap().maps[0])[3, 1, 13]
    assert opacities == pytest.approx((weights**0.7).tolist(), abs=1e-3)


def test_the_numbers_are_those_of_the_head_in_view(opened):
    page = opened()
    figure = live(page, "attention_map")
    thumbnail(figure, 0, 2).click()
    link = figure.locator(".explorable-body .explorable-data a")
    assert link.inner_text() == "Layer 0, head 2 as numbers (CSV)"
    with page.expect_download() as download:
        link.click()
    table = Path(download.value.path()).read_text(encoding="utf-8")
    assert table == AttentionMap(layer=0, head=2).table


def test_texts_are_replaced(opened):
    figure = AttentionMap(texts={"task": "Finde den Kopf.", "first": "{word}: {share} {other}"})
    page = opened()
    page.evaluate(
        """([state, name]) => {
          const live = document.createElement("div");
          document.querySelector("main").replaceChildren(live);
          window.halt = window.payattentionExplorables[name].render(
            { model: new StaticModel(state), el: live });
        }""",
        [figure.static_state(), live(page, "attention_map").get_attribute("data-explorable")],
    )
    assert page.locator(".explorable-task").inner_text() == "Finde den Kopf."
    page.locator(".explorable-finding", has_text="“it”: 68\u00a0% “animal”").wait_for()
    page.evaluate("window.halt()")  # and leaves nothing behind that would complain


# The fleet


def fleet_bars(figure):
    """Widths of the bars: the fleet, then what it is held against."""
    return figure.locator(".explorable-canvas rect").evaluate_all(
        "all => all.map(bar => bar.width.baseVal.value)"
    )


def test_the_fleet_follows_its_four_factors(opened):
    figure = live(opened(), "fleet")
    settled(figure, "134 TWh")
    fleet, country, least, most = fleet_bars(figure)
    assert fleet == most and least / most == pytest.approx(6.5 / 10.2, abs=0.01)
    assert country / most == pytest.approx(112.434 / 134.028, abs=0.01)
    slide(figure, "Servers", 4)
    slide(figure, "server draws", 55)
    slide(figure, "full power", 45)
    slide(figure, "PUE", 20)
    moved = Fleet(servers=500_000, watts=6_500, utilisation=0.5, pue=1.2)
    assert finding(figure) == moved.findings()[0]
    assert "6.5 kW (DGX A100)" in figure.locator(".explorable-controls").inner_text()
    assert fleet_bars(figure)[0] / least == pytest.approx(0.5 * 1.2 / 3, abs=0.01)
    assert fleet_bars(figure)[1:] == [country, least, most]  # which have not moved


def test_the_largest_fleet_has_a_scale_that_holds_it(opened):
    figure = live(opened(width=340), "fleet")
    for slider in figure.get_by_role("slider").all():
        slider.press("End")
    largest = Fleet(servers=5_000_000, watts=15_000, pue=2.0)
    assert finding(figure) == largest.findings()[0]
    width = figure.locator(".explorable-canvas svg").evaluate("svg => svg.width.baseVal.value")
    fleet, country, *_ = fleet_bars(figure)
    assert width / 2 < fleet < width and fleet / country == pytest.approx(11.7, rel=0.02)


# All of them


AT_HOME = {"fading": "A gate of 0.5 ", "crowding": "^1 pair stored", "softmax": "At a width of 1,"}


@pytest.mark.parametrize("name", GUESSED)
def test_keyboard_alone(opened, name):
    page = opened()
    figure = live(page, name)
    figure.locator(".explorable-guess input").focus()
    for key in ("ArrowRight", "ArrowRight", "Tab", "Enter"):
        page.keyboard.press(key)
    # what had the focus is gone; it has moved to the first control that came
    assert figure.locator(".explorable-controls input").first.evaluate(
        "input => input === document.activeElement"
    )
    settled(figure)
    page.keyboard.press("Home")
    settled(figure, AT_HOME[name])


@pytest.mark.parametrize("name", FIGURES)
def test_named_for_a_screen_reader(opened, name):
    page = opened()
    figure = revealed(page, name)
    controls = figure.locator("input:visible, select:visible, button:visible")
    named = controls.evaluate_all("all => all.map(c => (c.labels?.[0] ?? c).textContent.trim())")
    assert len(named) >= 3 and all(named)
    sliders = figure.locator("input[type=range]:visible")
    assert all(sliders.evaluate_all("all => all.map(s => s.getAttribute('aria-valuetext'))"))
    whole = figure.locator(".explorable-body")
    assert whole.get_attribute("role") == "group" and whole.get_attribute("aria-label")
    drawings = figure.locator(".explorable-live svg:not([aria-hidden])")
    assert drawings.count() >= 1
    for drawing in drawings.all():
        assert drawing.get_attribute("role") == "img" and drawing.get_attribute("aria-label")
    heard = figure.get_by_role("status")
    page.wait_for_timeout(600)  # spoken once the hand has rested
    # what the map says above its controls, and how the machine reckons, is heard in the same breath
    aside = figure.locator(".explorable-task + .explorable-note, .explorable-reckoning")
    said = [finding(figure), *aside.all_inner_texts()]
    assert heard.inner_text() == " ".join(said)


@pytest.mark.parametrize("name", FIGURES)
def test_follows_the_theme(opened, name):
    page = opened()
    figure = revealed(page, name)
    look = "node => [getComputedStyle(node).backgroundColor, getComputedStyle(node).color].join()"
    light = figure.locator(".explorable-body").evaluate(look)
    stroke = "path => getComputedStyle(path).stroke"
    mark = figure.locator(MARK[name]).first
    light_line = mark.evaluate(stroke)
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    assert figure.locator(".explorable-body").evaluate(look) != light
    shades = bundle.palette()[re.search(r"--explorable-(\w+)", MARK[name])[1]]
    assert [light_line, figure.locator(MARK[name]).first.evaluate(stroke)] == [
        f"rgb({', '.join(str(int(shades[theme][i : i + 2], 16)) for i in (1, 3, 5))})"
        for theme in ("light", "dark")
    ]


@pytest.mark.parametrize("name", FIGURES)
def test_fits_a_phone_without_overlapping_words(opened, name):
    page = opened(width=340)
    figure = revealed(page, name)
    assert page.evaluate("document.documentElement.scrollWidth") <= 340
    control = figure.locator("input[type=range]:visible").last
    most = int(control.get_attribute("max"))
    for position in (0, most // 2, most):
        control.fill(str(position))
        boxes = figure.locator(".explorable-live text").evaluate_all(
            "all => all.map(t => [t.textContent, ...['left', 'right', 'top', 'bottom']"
            ".map(side => t.getBoundingClientRect()[side])])"
        )
        for i, (one, left, right, top, bottom) in enumerate(boxes):
            assert left >= 0 and right <= 340, one
            for other, left2, right2, top2, bottom2 in boxes[i + 1 :]:
                apart = right <= left2 or right2 <= left or bottom - 3 <= top2 or bottom2 - 3 <= top
                assert apart, (one, other)


@pytest.mark.parametrize("name", FIGURES)
def test_data_link_holds_the_table(opened, name):
    page = opened()
    figure = live(page, name)
    with page.expect_download() as download:
        figure.locator(".explorable-body .explorable-data a").click()
    assert download.value.suggested_filename == f"{name}.csv"
    assert Path(download.value.path()).read_text(encoding="utf-8") == FIGURES[name]().table


@pytest.mark.parametrize("name", FIGURES)
def test_without_javascript_the_picture_and_the_findings_stay(opened, name):
    page = opened(javascript=False)
    figure = page.locator(f'figure[data-explorable="{name}"]')
    assert figure.locator("svg").first.is_visible()
    assert figure.locator("li").count() >= 2
    assert figure.locator("a[download]").is_visible()
    assert figure.locator("input, button, select").count() == 0


def test_print_shows_the_picture_and_no_controls(opened):
    page = opened()
    figure = revealed(page, "fading")
    assert not figure.locator(".explorable-fallback").is_visible()
    page.emulate_media(media="print")
    assert figure.locator(".explorable-fallback svg").is_visible()
    assert not figure.locator("input").first.is_visible()


def test_lives_from_disk(browser, site):
    page = browser.new_page()
    wrong = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    without_policy = (site / "index.html").read_text(encoding="utf-8").replace(POLICY, "")
    (site / "disk.html").write_text(without_policy, encoding="utf-8")
    page.goto((site / "disk.html").as_uri())
    for name in FIGURES:
        assert revealed(page, name).locator(MARK[name]).count() >= 1
    page.close()
    assert wrong == []


def test_state_in_the_page_is_what_python_wrote(opened):
    page = opened()
    state = page.locator('figure[data-explorable="crowding"] script').text_content()
    assert json.loads(state) == Crowding(curves=COUNTED).static_state()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(opened, theme):
    page = opened()
    page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    for name in FIGURES:
        live(page, name)
    assert violations(page) == []
    for name in FIGURES:
        revealed(page, name)
    assert violations(page) == []


def violations(page):
    found = page.evaluate("axe.run('main').then((result) => result.violations)")
    return [(fault["id"], fault["nodes"][0]["html"]) for fault in found]
