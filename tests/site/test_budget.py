"""The budget in a real browser: chosen by hand and by keyboard, shared by its address."""

import random
import re
from pathlib import Path

import pytest

from extensions import palette_css
from extensions.security_policy import guard
from payattention.explorables import Budget, bundle
from payattention.explorables.budgeting import PUBLISHED, STOCKS, about
from payattention.records import Results
from payattention.scaling_laws import OPERATIONS, AdditiveLaw, Meaning

CHAPTER = "chapters/scaling_laws.html"
LOADER = Path(__file__).parents[2] / "extensions" / "face" / "explorables-loader.js"
AXE = Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js"
PHONE = 340
BUDGETS = (1.5e10, 4.75e10, 1.5e11, 4.75e11, 1.5e12)
FITTED = AdditiveLaw(
    E=1.6,
    A=60.0,
    B=300.0,
    alpha=0.48,
    beta=0.42,
    meaning=Meaning("this book", "the chapter", loss="bits a character"),
)


def our_own(**state) -> Budget:
    """A figure with runs a little off their law."""
    draw, records = random.Random(5), []
    for budget in BUDGETS:
        for times in (0.4, 0.6, 1, 1.6, 2.5, 4):
            size = times * FITTED.optimum(budget).parameters
            tokens = budget / OPERATIONS / size / 1.25
            bits = FITTED.loss(size, tokens) + draw.gauss(0, 0.01)
            run = {"budget": budget, "parameters": round(size), "tokens": tokens, "bits": bits}
            records.append(run)
    return Budget(runs=Results.from_records("loss_vs_flops", records), law=FITTED, **state)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pages with the figure: with the runs and without, and two of them."""
    folder = tmp_path_factory.mktemp("budget")
    static = folder / "_static" / "explorables"
    static.mkdir(parents=True)
    (static / "budget.js").write_text(bundle.classic_script("budget"), encoding="utf-8")
    loader = bundle.static_model() + "\n" + LOADER.read_text(encoding="utf-8")
    (static / "loader.js").write_text(loader, encoding="utf-8")
    sheet = palette_css.style_sheet(palette_css.read()) + bundle.stylesheet()
    sheet += "body { background: var(--pa-paper); color: var(--pa-ink); margin: 16px; }"
    (static / "explorables.css").write_text(sheet, encoding="utf-8")
    ours, published = our_own().fallback(), Budget().fallback()
    for name, figures in {"index": ours, "published": published, "two": ours + ours}.items():
        page = (
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Budget</title>'
            '<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
            '<link rel="stylesheet" href="_static/explorables/explorables.css">'
            '<script defer src="_static/explorables/loader.js"></script></head>'
            f"<body><main><h1>Budget</h1>{figures}</main></body></html>"
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
    page.get_by_role("slider", name=re.compile(label)).fill(str(position))


def finding(page):
    return page.locator(".explorable-finding").first.inner_text()


def line(page, title):
    """What stands at the right of a line of results."""
    return page.locator(".explorable-line", has_text=title).locator("strong").inner_text()


def test_it_opens_with_the_book_and_follows_law_and_budget(opened):
    page = opened()
    assert finding(page) == our_own().plan().sentence()
    slide(page, "Budget", 10)  # ten positions are a decade
    assert finding(page) == our_own(flops=1e11).plan().sentence()
    choose(page, "Law:", "hoffmann")
    assert finding(page) == Budget().plan().sentence()  # at a budget of its own
    slide(page, "Budget", 140)
    choose(page, "Law:", "besiroglu")
    assert finding(page) == Budget(law_name="besiroglu", flops=1e24).plan().sentence()
    page.get_by_role("button", name="Start again").click()
    assert finding(page) == our_own().plan().sentence()


@pytest.mark.parametrize("name", ["book", *PUBLISHED])
def test_every_law_answers_everywhere_without_a_hole(opened, name):
    page = opened()
    choose(page, "Law:", name)
    assert listed(page, "Text that there is").is_visible() == (name == "muennighoff")
    stocks = STOCKS if name == "muennighoff" else ["endless"]
    for stock in stocks:
        if name == "muennighoff":
            choose(page, "Text that there is", stock)
        for budget, size in ((0, 0), (90, 80), (170, 40)):
            slide(page, "Budget", budget)
            slide(page, "Size", size)
            text = page.locator(".explorable-body").inner_text()
            assert not re.search(r"NaN|undefined|Infinity|null|\{\w+\}", text)
            paths = page.locator(".explorable-canvas path").evaluate_all(
                "all => all.map((path) => path.getAttribute('d')).join()"
            )
            assert "NaN" not in paths and "Infinity" not in paths


def test_dots_are_the_runs_and_stand_on_the_curves(opened):
    page = opened()
    dots = page.locator('.explorable-canvas circle[fill="var(--explorable-muted)"]')
    own = page.locator('.explorable-canvas circle[fill="var(--explorable-money)"]')
    assert (dots.count(), own.count()) == (24, 6)
    slide(page, "Budget", 12)
    assert (dots.count(), own.count()) == (30, 0)
    said = page.locator(".explorable-body").inner_text()
    assert "The other dots" in said and "25\N{NO-BREAK SPACE}% more than 6 N D" in said
    choose(page, "Law:", "kaplan")
    assert (dots.count(), own.count()) == (0, 0)
    assert "The other dots" not in page.locator(".explorable-body").inner_text()


def test_the_advised_size_moves_right_and_down_as_the_budget_grows(opened):
    page = opened("published")
    slide(page, "Budget", 110)
    largest = page.locator('.explorable-canvas circle[r="5"]')
    places = []
    for position in (100, 104, 108, 112, 116):
        slide(page, "Budget", position)
        places.append([float(largest.get_attribute(name)) for name in ("cx", "cy")])
    across, down = zip(*places, strict=True)
    assert list(across) == sorted(across) and list(down) == sorted(down)


def test_another_size_costs_loss_and_budget(opened):
    page = opened("published")
    assert "as advised" in line(page, "A model of")
    slide(page, "Size", 60)
    wasted = Budget(size=10.0).plan()
    assert line(page, "A model of").startswith(f"loss {wasted.bought().loss:.3f}, +")
    assert about(wasted.bought().parameters) in page.locator(".explorable-body").inner_text()
    note = page.locator(".explorable-note", has_text="is wasted")
    share = note.inner_text().split(" of the budget")[0].rsplit(" with ", 1)[1]
    assert wasted.of_size().count(share.strip()) == 1
    assert page.locator(".explorable-canvas").get_by_text("your size").count() == 1


def test_days_and_dollars_follow_the_accelerators(opened):
    page = opened("published")
    on_one = line(page, "On 1 NVIDIA H100 SXM")
    slide(page, "How many", 10)
    days, dollars = line(page, "On 1,024 NVIDIA H100 SXM").split(", $")
    assert days.endswith("hours") and on_one.endswith(f", ${dollars}")
    choose(page, "On:", "TPU v4")
    assert line(page, "Google TPU v4").endswith("no price known")


def test_a_stock_of_text_ends_what_money_buys(opened):
    page = opened("published", "#budget?law_name=muennighoff&flops=1e26&stock=trillion")
    assert finding(page).count("Each token is read 27.2 times.") == 1
    assert line(page, "Loss half as far") == "no budget: it ends at 1.947"
    choose(page, "Text that there is", "endless")
    assert "Each token" not in finding(page)
    assert line(page, "Loss half as far") == "51 times the budget"


def test_the_address_follows_and_opens_what_was_shared(opened, serve, folder):
    page = opened()
    choose(page, "Law:", "kaplan")
    slide(page, "Budget", 150)
    choose(page, "On:", "A100")
    shared = "#budget?law_name=kaplan&flops=1e%2B25&accelerator=A100"
    page.wait_for_function("wanted => location.hash === wanted", arg=shared)
    page.get_by_role("button", name="Start again").click()
    page.wait_for_function("() => location.hash === ''")
    with serve(folder) as address:
        again = opened("index", shared, address)
        assert finding(again) == Budget(law_name="kaplan", flops=1e25).plan().sentence()
        again.evaluate("location.hash = '#budget?flops=2e11&size=nine&colour=red'")
        again.locator(".explorable-finding", has_text="200 billion operations").wait_for()
        assert listed(again, "Law:").input_value() == "book"


def test_the_first_of_two_has_the_address(opened):
    page = opened("two", "#budget?flops=2e11")
    said = page.locator(".explorable-finding").all_inner_texts()
    assert ["200 billion" in one for one in said] == [True, False]
    assert page.locator(".explorable-note", has_text="The address").count() == 1


def test_by_keyboard_alone(opened):
    page = opened("published")
    listed(page, "Law:").focus()
    page.keyboard.press("Tab")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert "2.5 × 10²² operations" in finding(page)
    page.keyboard.press("Tab")  # the choice of a text is not there
    page.keyboard.press("ArrowLeft")
    assert "0.89 times the advised" in page.locator(".explorable-body").inner_text()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("End")
    assert line(page, "On 131,072 NVIDIA H100 SXM").startswith("8.04\N{NO-BREAK SPACE}minutes, $")


def test_the_chart_can_be_dragged(opened):
    page = opened()
    page.locator(".explorable-canvas").scroll_into_view_if_needed()
    box = page.locator(".explorable-canvas svg").first.bounding_box()
    size = page.get_by_role("slider", name=re.compile("Size"))
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 150)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 150)
    small = int(size.input_value())
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 150)
    page.mouse.up()
    large = int(size.input_value())
    assert small < 40 < large
    page.mouse.move(box["x"], box["y"] + 150)  # let go: nothing moves any more
    assert int(size.input_value()) == large


@pytest.mark.parametrize("name", ["book", "kaplan", "hoffmann", "muennighoff"])
def test_no_words_of_the_chart_meet_on_a_phone(opened, name):
    page = opened(width=PHONE)
    choose(page, "Law:", name)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE
    for budget, size in (
        (0, 40),
        (7, 50),
        (22, 60),
        (53, 40),
        (95, 20),
        (119, 40),
        (125, 45),
        (170, 80),
    ):
        slide(page, "Budget", budget)
        slide(page, "Size", size)
        boxes = page.locator(".explorable-canvas text").evaluate_all(
            "all => all.map(t => [t.textContent, ...['left', 'right', 'top', 'bottom']"
            ".map(side => t.getBoundingClientRect()[side])])"
        )
        for i, (one, left, right, top, bottom) in enumerate(boxes):
            assert left >= 0 and right <= PHONE, (one, budget)
            for other, left2, right2, top2, bottom2 in boxes[i + 1 :]:
                apart = right <= left2 or right2 <= left or bottom - 3 <= top2 or bottom2 - 3 <= top
                assert apart, (one, other, budget, size)


@pytest.mark.parametrize(("theme", "width"), [("dark", 1280), ("light", PHONE)])
def test_axe_finds_no_violation(opened, serve, folder, theme, width):
    with serve(folder) as address:  # axe reads the style sheet again
        page = opened(
            "index", "#budget?law_name=muennighoff&flops=1e25&size=3", address, width=width
        )
        page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
        page.evaluate(AXE.read_text(encoding="utf8"))
        found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
    assert [f"{rule['id']}: {rule['nodes'][0]['html'][:200]}" for rule in found] == []


def test_it_lives_in_its_chapter(visit, site, address):
    if not (site / CHAPTER).exists():
        pytest.skip(f"the site has no {CHAPTER} yet")
    page, log = visit(f"{address}/{CHAPTER}")
    figure = page.locator('figure[data-explorable="budget"]')
    figure.locator(".explorable-finding", has_text=re.compile(r"\d")).wait_for()
    figure.get_by_label("Law:").select_option("kaplan")
    figure.get_by_role("slider", name=re.compile("Budget")).fill("140")
    said = figure.locator(".explorable-finding").inner_text()
    assert said == Budget(law_name="kaplan", flops=1e24).plan().sentence()
    assert (log.foreign, log.failed, log.complaints, log.violations) == ([], [], [], [])
