"""The pages' source: fit for a diff and for a translator, and in the voice of the book.

One sentence stands on one line. Words that a translator must replace stand in the text, in the
`<text>` of a picture, or in one table of a figure that moves; code holds few of them.
"""

import ast
import itertools
import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from payattention.explorables import bundle

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    ROOT / "index.md",
    *sorted(ROOT.glob("chapters/*.md")),
    *sorted(ROOT.glob("reference/*.md")),
]
CHAPTERS = [path for path in PAGES if "\nkernelspec:" in path.read_text("utf-8")]
PLAIN = [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
CLAIMS = ROOT / "chapters" / "claims.yml"
PICTURES = sorted(ROOT.glob("chapters/figures/*.svg"))
EXPLORABLES = sorted(ROOT.glob("src/payattention/explorables/*.mjs"))

LONGEST_STRETCH = 400  # words with nothing to see, do or guess
MOST_PHRASES = 40  # that a chapter's code shows to a reader, such as the names of axes
FENCE = re.compile(r"^(`{3,}|:{3,}|~{3,})(?:\{([\w:-]+)\})?(.*)$")
VERBATIM = {"code-cell", "code", "code-block", "literalinclude", "eval-rst", "bibliography"}
VERBATIM |= {"math", "list-table", "mermaid", "raw", "toctree"}
TO_SEE = {"code-cell", "literalinclude", "image", "figure", "math", "list-table", "claims"}
TO_DO = {"exercise-start", "exercise", "solution-start", "solution", "prf:theorem"}


@dataclass
class Line:
    """A line of a page: prose, or something else that is named."""

    number: int
    kind: str
    text: str


def lines(text):
    """Each line of a page, with what it is: prose, heading, table, code, equation, or a directive.

    A directive's contents are prose unless they are verbatim; its options never are.
    """
    found, inside, options, equation = [], [], False, False
    rows = text.splitlines()
    start = rows.index("---", 1) + 1 if rows and rows[0] == "---" else 0
    for number, row in enumerate(rows[start:], start + 1):
        bare = row.strip()
        fence = FENCE.match(bare)
        verbatim = bool(inside) and inside[-1][1] in VERBATIM
        if fence and inside and bare == inside[-1][0]:
            inside.pop()
            kind = "end"
        elif verbatim:
            kind = "code"
        elif fence:
            # ```python is code, :::{note} holds prose
            inside.append((fence[1], fence[2] or "code"))
            kind, options = fence[2] or "code", True
        elif bare == "$$":
            equation = not equation
            kind = "math"
        elif equation:
            kind = "math"
        elif options and re.match(r":[\w-]+:", bare):
            kind = "option"
        elif not bare:
            kind = "blank"
        elif bare.startswith("#"):
            kind = "heading"
        elif bare.startswith("|"):
            kind = "table"
        elif bare.startswith("%") or re.fullmatch(r"\([\w-]+\)=", bare):
            kind = "hidden"
        else:
            kind = "prose"
        options = kind != "end" and (bool(fence) or (options and kind == "option"))
        found.append(Line(number, kind, row))
    return found


def plain(text):
    """A line without its code, formulas, roles and addresses: X stands for each."""
    text = re.sub(r"\{[\w:-]+\}`[^`]*`", "X", text)
    text = re.sub(r"(`+).+?\1", "X", text)
    text = re.sub(r"\$[^$]+\$", "X", text)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1 X", text)
    return re.sub(r"https?://\S+", "X", text)


def unquoted(text):
    """A line without what others said."""
    return re.sub(r"\"[^\"]*\"|“[^”]*”|\*[^*\s][^*]*\*(?!\*)", "X", text)


# One sentence a line


ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|cf|vs|et al|Fig|Eq|Sec|No|Dr|St|Mr|Ms|pp?)|\b[A-Z])\.$"
)
END = re.compile(r"[.?!…][)\]*_”’\"]*\s+(?=[(\[*_“‘\"]*[A-Z])")


def sentences(line):
    """Where a line goes on after a sentence has ended.

    >>> sentences("Some 3.5 times as long, e.g. Behind a wall of bricks. It rains.")
    ['ind a wall of bricks. It rains.']
    """
    text = unquoted(plain(line))
    return [
        text[max(0, end.start() - 20) : end.end() + 20]
        for end in END.finditer(text)
        if not ABBREVIATION.search(text[: end.start() + 1])
    ]


def broken_lines(text):
    """Prose lines on which a sentence ends before the line does, or goes on below."""
    found = []
    rows = lines(text)
    for row, after in zip(rows, [*rows[1:], Line(0, "blank", "")], strict=True):
        if row.kind != "prose":
            continue
        found += [f"{row.number}: {part}" for part in sentences(row.text)]
        begun = re.match(r"\s*(?:[-*+:]\s|\d+\.\s)", after.text)
        same = len(row.text) - len(row.text.lstrip()) == len(after.text) - len(after.text.lstrip())
        if after.kind == "prose" and not begun and same and not ends(row.text):
            found.append(f"{row.number}: goes on below: …{row.text[-40:]}")
    return found


def ends(line):
    return re.search(r"[.?!…:;][)\]*_”’\"`]*(?:\s*\{[\w:-]+\}`[^`]*`[.:]?)?\\?$", line.rstrip())


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_one_sentence_a_line(path):
    assert broken_lines(path.read_text("utf-8")) == []


@pytest.mark.parametrize("field", ["answer", "unchecked"])
def test_one_sentence_a_line_in_the_claims(field):
    found = []
    for block in re.findall(rf"(?m)^  {field}: >-\n((?:    .*\n)+)", CLAIMS.read_text("utf-8")):
        found += [part for row in block.splitlines() for part in sentences(row)]
    assert found == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("One stands here. Two does not.", ["1:"]),
        ("Is it so? It is.", ["1:"]),
        ("It is **so.** It is.", ["1:"]),
        ("A line that goes on\nbelow.", ["1: goes on below"]),
        (":::{note}\nOne. Two.\n:::", ["2:"]),
        ("Like this one, e.g. A or B. Smith.", []),
        ('He said: "One. Two." and left.', []),
        ("```{code-cell}\nOne. Two.\n```", []),
        ("```python\n# One. Two.\n```", []),
        ("---\ntitle: One. Two.\n---\nThree.", []),
        ("| One. Two. |", []),
        ("$$\nA. B\n$$", []),
        ("- an item\n- another", []),
        ("term\n: One.\n  Two. Three.", ["3:"]),
    ],
)
def test_the_check_of_lines_itself(text, said):
    found = broken_lines(text)
    assert len(found) == len(said)
    assert all(one.startswith(part) for one, part in zip(found, said, strict=True))


# The voice


AVOIDED = re.compile(
    r"\b(?:powerful|crucial(?:ly)?|revolutioni[sz]\w*|landscape|simply|obvious(?:ly)?|delve|leverag\w*)\b"
    r"|[Ii]t is (?:important|worth noting|interesting) to note|[Ii]t is worth noting"
    r"|[Ll]et(?:'|’)?s dive|[Ii]n this section,? we (?:will|shall)"
    r"|\w!(?!\w)"
    r"|[\U0001F300-\U0001FAFF\u2600-\u27BF\u2B50\uFE0F]",
    re.IGNORECASE,
)


def out_of_voice(text):
    """What the book does not say, by line; others may, in quotation marks."""
    kinds = ("prose", "heading", "table")
    shown = [row for row in lines(text) if row.kind in kinds]
    return [
        f"{row.number}: {found[0]}"
        for row in shown
        for found in AVOIDED.finditer(unquoted(plain(row.text)))
    ]


@pytest.mark.parametrize("path", PLAIN, ids=lambda path: path.stem)
def test_the_voice_of_the_book(path):
    assert out_of_voice(path.read_text("utf-8")) == []


def test_the_voice_in_the_claims():
    for claim in yaml.safe_load(CLAIMS.read_text("utf-8")):
        said = f"{claim['answer']} {claim.get('unchecked', '')}"
        assert not AVOIDED.search(unquoted(plain(said))), claim["id"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("This is simply true.", 1),
        ("A Powerful idea!", 2),
        ("# Let's dive in", 1),
        ("It is important to note a \U0001f600.", 2),
        ('They call it "powerful", and `simply != True`.', 0),
        ("```python\nprint('powerful!')\n```", 0),
        ("The obvious way.", 1),
    ],
)
def test_the_check_of_the_voice_itself(text, found):
    assert len(out_of_voice(text)) == found


def stretches(text):
    """Words between two things to see, do or guess, with the line where each stretch ends."""
    words, number = 0, 0
    for number, kind, row in ((one.number, one.kind, one.text) for one in lines(text)):
        if kind in TO_SEE | TO_DO or kind == "table":
            yield words, number
            words = 0
        elif kind == "prose":
            words += len(re.findall(r"\w+", plain(row)))
    yield words, number


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_nobody_reads_far_without_something_to_see_do_or_guess(path):
    assert [at for at in stretches(path.read_text("utf-8")) if at[0] > LONGEST_STRETCH] == []


def test_the_check_of_stretches_itself():
    text = "one two\n\n```{code-cell}\nthree four\n```\nfive `six` {cite}`seven`\n\n$$\nx\n$$\n"
    assert [words for words, _ in stretches(text)] == [2, 3, 0, 0, 0]


# Words that can be replaced


def phrases(source):
    """Texts of two words or more that code may show: neither docstrings nor programs."""
    tree = ast.parse(source)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in docstrings
        and node.value.count("\n") < 3
        and re.search(r"[^\W\d_]{2,}\s+[^\W\d_]{2,}", node.value)
    ]


def code(text):
    """The cells of a chapter, each without its options."""
    cell = None
    for row in lines(text):
        if row.kind == "code-cell":
            cell = []
        elif row.kind == "code" and cell is not None:
            cell.append(row.text)
        elif cell is not None:
            yield "\n".join(itertools.dropwhile(lambda row: row.startswith(":"), cell))
            cell = None


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_code_shows_few_words(path):
    shown = [phrase for cell in code(path.read_text("utf-8")) for phrase in phrases(cell)]
    assert shown
    assert len(shown) <= MOST_PHRASES
    assert [phrase for phrase in shown if len(phrase) > 90] == []


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)
def test_words_in_pictures_are_text(path):
    """Not letters drawn as outlines, and not a photograph of them."""
    source = path.read_text("utf-8")
    root = ElementTree.fromstring(source)
    names = [element.tag.rpartition("}")[2] for element in root.iter()]
    assert "image" not in names and "foreignObject" not in names and "data:" not in source
    assert "text" in names or path.stem.startswith("mark")
    longest = max((len(element.get("d", "")) for element in root.iter()), default=0)
    assert longest < 400, "a path as long as a drawn letter's"


def test_no_picture_without_its_source():
    """A PNG is made from the SVG of its name."""
    others = {path.name for path in (ROOT / "chapters").rglob("*") if path.suffix != ".svg"}
    drawn = {path.stem for path in PICTURES}
    pixels = (".png", ".jpg", ".jpeg", ".gif", ".webp")
    assert [name for name in others if name.endswith(pixels) and Path(name).stem not in drawn] == []


@pytest.mark.parametrize("path", EXPLORABLES, ids=lambda path: path.stem)
def test_words_of_a_figure_that_moves_stand_in_one_table(path):
    """`const TEXT = {...}`: what a translation hands in instead; figures share that of loading."""
    source = path.read_text("utf-8")
    table = re.search(r"(?s)const (?:TEXT|LOADING) = \{.*?\n\};", source)
    assert table or path.stem in bundle.SHARED
    rest = source.replace(table[0], "") if table else source
    rest = re.sub(r"/\*.*?\*/|//[^\n]*", "", rest, flags=re.S)
    literals = re.findall(r"\"([^\"\n]*)\"|'([^'\n]*)'", rest)
    words = [one or other for one, other in literals]
    assert [text for text in words if re.search(r"[A-Z][a-z]+ [a-z]+ [a-z]+", text)] == []
