"""What the cover and "How to read" say is what the library and CONTRIBUTING say."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

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
        "vocabulary": parts["logits"],
        "projections": parts["queries"] + parts["keys and values"] + parts["output"],
        "arrows": parts["scores"] + parts["mixing"],
    }
    assert sum(lines.values()) == sum(parts.values())
    return {name: round(flops / 1e9) for name, flops in lines.items()}


def test_the_covers_bill_is_what_the_library_computes():
    written = texts("cover_bill.svg")
    for name, billions in bill().items():
        assert written[written.index(name) + 1] == str(billions)
    assert written[written.index("to pay") + 1] == "292"
    assert round(sum(operations.forward(GPT2_SMALL, tokens=1024).values()) / 1e9) == 292
    cover = (ROOT / "index.md").read_text(encoding="utf8")
    said = ", ".join(f"{name} {billions}" for name, billions in bill().items())
    assert f"{said}, together 292" in cover


def test_the_bars_of_the_bill_are_as_long_as_their_numbers():
    root = ElementTree.parse(FIGURES / "cover_bill.svg").getroot()
    widths = [float(bar.get("width")) for bar in root.iter("{http://www.w3.org/2000/svg}rect")]
    for width, billions in zip(widths, bill().values(), strict=True):
        assert abs(width / widths[0] - billions / bill()["feed-forward"]) < 0.01


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
