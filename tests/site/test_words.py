"""What the cover and "How to read" say is what the library and CONTRIBUTING say."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from payattention.cost import operations
from payattention.shape import GPT2_SMALL

ROOT = Path(__file__).resolve().parents[2]
FIGURES = ROOT / "chapters" / "figures"


def rows(path):
    """Cells of each table row that begins with a word of the notation."""
    lines = path.read_text(encoding="utf8").splitlines()
    found = [line.strip("|").split("|") for line in lines if line.startswith("| `")]
    return [[cell.strip() for cell in cells] for cells in found]


def test_one_table_of_words_for_readers_and_writers():
    ours = [(word, symbol.strip("$"), says) for word, symbol, says in readers_table()]
    theirs = [tuple(row[:3]) for row in rows(ROOT / "CONTRIBUTING.md")]
    assert ours == theirs
    assert len(ours) > 10


def readers_table():
    return rows(ROOT / "chapters" / "how_to_read.md")


def texts(name):
    root = ElementTree.parse(FIGURES / name).getroot()
    return [element.text for element in root.iter() if element.text and element.text.strip()]


def bill():
    """The cover's lines, in billions of operations."""
    parts = operations.forward(GPT2_SMALL, tokens=1024)
    lines = {
        "feed-forward": parts["mlp"],
        "projections": parts["queries"] + parts["keys and values"] + parts["output"],
        "vocabulary": parts["logits"],
        "arrows": parts["scores"] + parts["mixing"],
    }
    assert sum(lines.values()) == sum(parts.values())
    return {name: flops / 1e9 for name, flops in lines.items()}


@pytest.fixture
def figure(visit, address):
    """The cover's figure that moves."""
    page, _ = visit(f"{address}/index.html")
    figure = page.locator('figure[data-explorable="bill"]')
    figure.locator(".explorable-receipt").wait_for()
    return figure


def written(figure):
    """What the figure writes, by line, in billions."""
    rows = figure.locator(".explorable-receipt li").all_inner_texts()
    words = [re.fullmatch(r"\s*([\w-]+)\s+([\d.]+) billion\s*", row).groups() for row in rows]
    return {name: float(billions) for name, billions in words}


def test_the_covers_bill_is_what_the_library_computes(figure):
    assert written(figure) == pytest.approx(bill(), rel=0.005)
    assert figure.locator(".explorable-pay").inner_text().split() == ["to", "pay", "292", "billion"]
    assert round(sum(bill().values())) == 292


def test_the_bars_of_the_bill_are_as_long_as_their_numbers(figure):
    boxes = figure.locator(".explorable-stack rect").evaluate_all(
        "all => all.map(bar => bar.getBoundingClientRect().width)"
    )
    for width, billions in zip(boxes, bill().values(), strict=True):
        # a gap of one pixel stands between two bars
        assert width / sum(boxes) == pytest.approx(billions / sum(bill().values()), abs=0.01)


def test_the_covers_sliders_make_the_arrows_the_longest_line(figure):
    figure.get_by_role("slider", name=re.compile("Length")).press("End")
    assert "1,048,576 tokens" in figure.inner_text()
    sizes = figure.locator(".explorable-stack rect").evaluate_all(
        "all => all.map(b => b.width.baseVal.value)"
    )
    assert sizes[-1] == max(sizes)
    figure.get_by_role("slider", name=re.compile("Model")).press("End")
    assert "GPT-3" in figure.locator(".explorable-control").nth(1).inner_text()
    assert "1,048,576 tokens" in figure.inner_text()


def test_the_example_for_the_library_runs_and_says_what_it_says():
    text = (ROOT / "chapters" / "how_to_read.md").read_text(encoding="utf8")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    *setup, last = code.strip().splitlines()
    expression, _, said = last.partition("#")
    names = {}
    exec("\n".join(setup), names)
    assert f"{eval(expression, names):,}" == said.strip()


def test_the_table_of_colours_shows_every_idea():
    palette = json.loads((ROOT / "src/payattention/palette.json").read_text(encoding="utf8"))
    root = ElementTree.parse(FIGURES / "palette.svg").getroot()
    squares = [bar.get("fill") for bar in root.iter("{http://www.w3.org/2000/svg}rect")]
    shown = dict(zip(texts("palette.svg"), squares, strict=True))
    ideas = {
        name: both
        for name, both in palette.items()
        if name not in ("ink", "muted", "grid", "paper")
    }
    assert shown == {name.replace("_", "-"): both["light"] for name, both in ideas.items()}


def test_the_cover_counts_its_claims(site):
    html = (site / "index.html").read_text(encoding="utf8")
    text = " ".join(re.sub(r"<[^>]+>", "", html).split())
    assert "40 of their 121 claims are true as they stand" in text
    assert "Another 39 hold something true" in text
    assert "13 mislead, 20 are false, and 9 nobody outside can check" in text
