"""Explorables in a real browser, with no kernel: moved by hand, and looked at.

The page is a small one of its own, served under the strict policy that the book's pages
have, and once more opened from disk.
"""

import json
import re
from pathlib import Path

import pytest

from payattention.explorables import Crowding, Fading, bundle
from payattention.explorables.crowding import attention_numbers, expected_recall
from payattention.explorables.fading import half_life, remaining

LOADER = Path(__file__).parents[2] / "extensions" / "face" / "explorables-loader.js"
AXE = Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js"
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:"
HOST = "http://book.test"

MEASURED = [{"name": "LSTM", "gaps": [1, 8, 64, 256], "norms": [0.9, 0.5, 0.03, 0.001]}]
COUNTED = [{"d_model": 64, "pairs": [64, 128, 256, 512], "recalled": [1.0, 0.98, 0.76, 0.34]}]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with one page and two explorables, built as the book builds them."""
    folder = tmp_path_factory.mktemp("site")
    scripts = folder / "_static" / "explorables"
    scripts.mkdir(parents=True)
    for name in bundle.names():
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
    figures = Fading(curves=MEASURED).fallback() + Crowding(curves=COUNTED).fallback()
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
    figure.get_by_role("button", name="Show me").click()
    settled(figure)
    return figure


def settled(figure, said=r"\d"):
    """Waits until the finding says it; where much is to be drawn it comes a moment later."""
    figure.locator(".explorable-finding", has_text=re.compile(said)).wait_for()


def slide(figure, label, position):
    figure.get_by_label(re.compile(label)).fill(str(position))


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


@pytest.mark.parametrize("name", ["fading", "crowding"])
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
    settled(figure, "A gate of 0.5 " if name == "fading" else "^1 pair stored")


@pytest.mark.parametrize("name", ["fading", "crowding"])
def test_named_for_a_screen_reader(opened, name):
    page = opened()
    figure = revealed(page, name)
    controls = figure.locator("input:visible, select:visible, button:visible")
    named = controls.evaluate_all("all => all.map(c => (c.labels?.[0] ?? c).textContent.trim())")
    assert len(named) >= 3 and all(named)
    sliders = figure.locator("input[type=range]:visible")
    assert all(sliders.evaluate_all("all => all.map(s => s.getAttribute('aria-valuetext'))"))
    assert figure.get_by_role("group").get_attribute("aria-label")
    drawing = figure.locator(".explorable-canvas svg")
    assert drawing.get_attribute("role") == "img" and drawing.get_attribute("aria-label")
    heard = figure.get_by_role("status")
    page.wait_for_timeout(600)  # spoken once the hand has rested
    assert heard.inner_text() == finding(figure)


@pytest.mark.parametrize("name", ["fading", "crowding"])
def test_follows_the_theme(opened, name):
    page = opened()
    figure = revealed(page, name)
    look = "node => [getComputedStyle(node).backgroundColor, getComputedStyle(node).color].join()"
    light = figure.locator(".explorable-body").evaluate(look)
    stroke = "path => getComputedStyle(path).stroke"
    light_line = lines(figure, "recurrence").first.evaluate(stroke)
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    assert figure.locator(".explorable-body").evaluate(look) != light
    assert (light_line, lines(figure, "recurrence").first.evaluate(stroke)) == (
        "rgb(0, 114, 178)",
        "rgb(79, 169, 226)",
    )


@pytest.mark.parametrize("name", ["fading", "crowding"])
def test_fits_a_phone_without_overlapping_words(opened, name):
    page = opened(width=340)
    figure = revealed(page, name)
    assert page.evaluate("document.documentElement.scrollWidth") <= 340
    for pairs in (0, 45, 90):
        figure.locator(".explorable-controls input").last.fill(str(pairs))
        boxes = figure.locator(".explorable-canvas text").evaluate_all(
            "all => all.map(t => [t.textContent, ...['left', 'right', 'top', 'bottom']"
            ".map(side => t.getBoundingClientRect()[side])])"
        )
        for i, (one, left, right, top, bottom) in enumerate(boxes):
            assert left >= 0 and right <= 340, one
            for other, left2, right2, top2, bottom2 in boxes[i + 1 :]:
                apart = right <= left2 or right2 <= left or bottom - 3 <= top2 or bottom2 - 3 <= top
                assert apart, (one, other)


@pytest.mark.parametrize("kind", [Fading, Crowding])
def test_data_link_holds_the_table(opened, kind):
    page = opened()
    figure = live(page, kind.name)
    curves = MEASURED if kind is Fading else COUNTED
    with page.expect_download() as download:
        figure.locator(".explorable-body .explorable-data a").click()
    assert download.value.suggested_filename == f"{kind.name}.csv"
    assert Path(download.value.path()).read_text(encoding="utf-8") == kind(curves=curves).table


@pytest.mark.parametrize("name", ["fading", "crowding"])
def test_without_javascript_the_picture_and_the_findings_stay(opened, name):
    page = opened(javascript=False)
    figure = page.locator(f'figure[data-explorable="{name}"]')
    assert figure.locator("svg").is_visible()
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
    for name in bundle.names():
        assert lines(revealed(page, name), "recurrence").count() >= 1
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
    for name in bundle.names():
        live(page, name)
    assert violations(page) == []
    for name in bundle.names():
        revealed(page, name)
    assert violations(page) == []


def violations(page):
    found = page.evaluate("axe.run('main').then((result) => result.violations)")
    return [(fault["id"], fault["nodes"][0]["html"]) for fault in found]
