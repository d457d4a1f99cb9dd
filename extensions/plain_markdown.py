"""A page's resolved tree as plain Markdown, such as Colab, GitHub and Jupyter show it.

In the tree every citation, number and cross-reference stands resolved, so that nothing of
Sphinx or MyST is left to write. What the writer does not know it refuses: a new kind of
directive must be given a plain form here before it can stand in a chapter.
"""

import html
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from docutils import nodes

ADMONITIONS = (
    *(nodes.admonition, nodes.attention, nodes.caution, nodes.danger, nodes.error, nodes.hint),
    *(nodes.important, nodes.note, nodes.tip, nodes.warning),
)
SKIPPED = (nodes.comment, nodes.target, nodes.substitution_definition, nodes.system_message)
HIDDEN = ("desc", "index", "meta", "sd_tab_input", "toctree")
SPECIAL = re.compile(r"([\\`*_$]|\](?=[(\[]))")
BLOCK_START = re.compile(r"^(\d*)(#+ |[-+.)] )")
SOURCE = re.compile(
    r"doi:(?P<doi>10\.\S+?)\.?$|arXiv:(?P<arxiv>\d{4}\.\d{4,5})|URL: (?P<url>\S+?)\.?$"
)


@dataclass(frozen=True)
class Code:
    """A cell of code, and what MyST says of it: its tags, and its picture's text."""

    text: str
    metadata: dict


@dataclass(frozen=True)
class Picture:
    """A drawing of the book, to be put into the notebook by whoever has its bytes."""

    uri: str
    alt: str
    width: int | None


Block = str | Code
Address = Callable[[str], str]
Numbering = Callable[[nodes.Node], str]


class Writer:
    """Turns one page into blocks of Markdown and code.

    ``address`` makes a link's target, as the tree has it, into a whole web address;
    ``number`` gives the number of an exercise or another numbered block; ``picture`` gives
    the Markdown of a drawing.
    """

    def __init__(
        self, address: Address, number: Numbering, picture: Callable[[Picture], str]
    ) -> None:
        self.address, self.number, self.picture = address, number, picture
        self.sources: dict[str, str] = {}

    # Inside a line

    def inline(self, node: nodes.Node) -> str:
        """The node's text with its emphasis, code, formulas and links."""
        if isinstance(node, nodes.Text):
            return escaped(str(node))
        if isinstance(node, nodes.literal):
            return code_span(node.astext())
        if isinstance(node, nodes.math):
            return f"${plain_formula(node.astext())}$"
        if isinstance(node, nodes.image):
            return self.image(node)
        if isinstance(node, nodes.reference):
            return self.link(node)
        if isinstance(node, nodes.raw):
            return self.raw(node)
        if isinstance(node, nodes.footnote_reference):
            return f"<sup>{node.astext()}</sup>"
        inner = "".join(self.inline(child) for child in node.children)
        if isinstance(node, nodes.emphasis | nodes.title_reference):
            return around("*", inner)
        if isinstance(node, nodes.strong):
            return around("**", inner)
        if isinstance(node, nodes.superscript):
            return f"<sup>{inner}</sup>"
        if isinstance(node, nodes.subscript):
            return f"<sub>{inner}</sub>"
        if isinstance(node, SKIPPED):
            return ""
        if isinstance(node, nodes.Inline | nodes.TextElement):
            return inner
        raise ValueError(f"no plain Markdown for the inline node <{node.tagname}>")

    def line(self, node: nodes.Element) -> str:
        """All that is in the node, as one line."""
        text = " ".join("".join(self.inline(child) for child in node.children).split())
        return BLOCK_START.sub(r"\1\\\2", text)  # else it would begin a list or a heading

    def link(self, node: nodes.reference) -> str:
        inner = "".join(self.inline(child) for child in node.children)
        text = inner.strip()
        before = " " if inner[:1].isspace() else ""
        target = node.get("refuri") or f"#{node.get('refid', '')}"
        title = node.get("reftitle", "")
        if "bibliography" in target and title:
            self.sources.setdefault(title, text)
            found = source_address(title)
            return f"{before}[{text}]({found})" if found else f"{before}{text}"
        return f"{before}[{text}]({self.address(target)})"

    def image(self, node: nodes.Element) -> str:
        alt = " ".join(node.get("alt", "").split())
        return self.picture(Picture(node["uri"], alt, node.get("width")))

    def raw(self, node: nodes.raw) -> str:
        """What an extension wrote as HTML: a drawing is known by its ``uri``."""
        if "uri" in node:
            return self.image(node)
        if re.fullmatch(r"\s*<script.*</script>\s*", node.astext(), re.DOTALL):
            return ""  # the theme's, not the author's
        raise ValueError(f"no plain Markdown for raw {node['format']}: {node.astext()[:60]!r}")

    # Blocks

    def blocks(self, parent: nodes.Element, depth: int = 1) -> Iterator[Block]:
        """Every block of the node's children."""
        for child in parent.children:
            yield from self.block(child, depth)

    def block(self, node: nodes.Node, depth: int) -> Iterator[Block]:
        """The blocks that one node makes; ``depth`` is that of its section's heading."""
        kind = node.tagname
        if isinstance(node, SKIPPED) or kind in HIDDEN:
            return
        if isinstance(node, nodes.section):
            yield f"{'#' * depth} {self.line(node[0])}"
            for child in node[1:]:
                yield from self.block(child, depth + 1)
        elif isinstance(node, nodes.paragraph | nodes.rubric):
            yield self.line(node)
        elif node.get("nb_element") == "cell_code":
            yield from self.cell(node)
        elif isinstance(node, nodes.literal_block):
            yield fence(node.astext(), node.get("language", ""))
        elif isinstance(node, nodes.math_block):
            label = node.get("label")
            tag = f" \\tag{{{self.number(node)}}}" if label else ""
            yield f"$$\n{node.astext().strip()}{tag}\n$$"
        elif isinstance(node, nodes.bullet_list | nodes.enumerated_list):
            yield self.list(node, depth)
        elif isinstance(node, nodes.definition_list):
            yield "\n".join(self.definition(item, depth) for item in node.children)
        elif isinstance(node, nodes.table):
            yield self.table(node)
        elif isinstance(node, nodes.block_quote):
            yield from quoted(self.blocks(node, depth))
        elif kind in ("exercise_node", "exercise_enumerable_node") or "proof" in node.get(
            "classes", []
        ):
            yield from self.numbered(node, depth)
        elif kind == "solution_node":
            yield self.folded("Solution", self.blocks(without_title(node), depth))
        elif isinstance(node, ADMONITIONS):
            yield from self.admonition(node, depth)
        elif isinstance(node, nodes.figure):
            for child in node.children:
                yield (
                    self.line(child)
                    if child.tagname != "caption"
                    else around("*", self.line(child))
                )
        elif isinstance(node, nodes.image | nodes.raw | nodes.reference):
            yield self.inline(node)
        elif isinstance(node, nodes.transition):
            yield "---"
        elif isinstance(node, nodes.footnote):
            label, *rest = node.children
            inner = " ".join(str(b) for child in rest for b in self.block(child, depth))
            yield f"<sup>{label.astext()}</sup> {inner}"
        elif isinstance(node, nodes.caption | nodes.title) or kind == "sd_tab_label":
            yield around("**", self.line(node))
        elif isinstance(node, nodes.container | nodes.compound | nodes.document):
            yield from self.blocks(node, depth)
        else:
            raise ValueError(f"no plain Markdown for the block <{kind}>")

    def cell(self, node: nodes.Element) -> Iterator[Block]:
        source = next(iter(node.findall(nodes.literal_block)), None)
        metadata = node["cell_metadata"]
        if source is None:
            raise ValueError("a cell without its source: tag it hide-input, not remove-input")
        yield Code(source.astext(), metadata)
        alt = metadata.get("mystnb", {}).get("image", {}).get("alt", "")
        if alt:
            yield self.folded("The figure in words", [escaped(alt)])

    def list(self, node: nodes.Element, depth: int) -> str:
        ordered, items = isinstance(node, nodes.enumerated_list), []
        for count, item in enumerate(node.children, start=node.get("start", 1)):
            mark = f"{count}. " if ordered else "- "
            items.append(mark + indented(self.text(self.blocks(item, depth)), len(mark)))
        return "\n".join(items)

    def definition(self, item: nodes.Element, depth: int) -> str:
        terms = [self.line(child) for child in item if isinstance(child, nodes.term)]
        body = self.text(self.blocks(item[-1], depth))
        return f"- **{', '.join(terms)}**\n\n" + " " * 2 + indented(body, 2) + "\n"

    def table(self, node: nodes.table) -> str:
        rows = [[self.entry(entry) for entry in row] for row in node.findall(nodes.row)]
        title = next(iter(node.findall(nodes.title)), None)
        lines = [f"*{self.line(title)}*", ""] if title is not None else []
        lines += [f"| {' | '.join(row)} |" for row in rows]
        lines.insert(len(lines) - len(rows) + 1, "|" + " --- |" * len(rows[0]))
        return "\n".join(lines)

    def entry(self, entry: nodes.entry) -> str:
        parts = [self.line(child) for child in entry.children]
        return "<br>".join(parts).replace("|", "\\|") or " "

    def numbered(self, node: nodes.Element, depth: int) -> Iterator[Block]:
        """An exercise, or a theorem: a quotation under its name and number."""
        title = node[0]
        words = self.line(title).replace("%s", self.number(node))
        name = words if words.startswith(("Exercise", "Solution")) else ""
        if not name:
            label = title.get("title", node.tagname).replace("%s", self.number(node))
            name = f"{label} {words}".strip()
        body = self.blocks(without_title(node), depth)
        yield from quoted([f"**{name}**", *body])

    def admonition(self, node: nodes.Element, depth: int) -> Iterator[Block]:
        titled = isinstance(node[0], nodes.title)
        name = self.line(node[0]) if titled else node.tagname.capitalize()
        body = list(self.blocks(without_title(node), depth))
        if "dropdown" in node.get("classes", []):
            yield self.folded(name, body)
        else:
            yield from quoted([f"**{name}**", *body])

    def folded(self, name: str, body) -> str:
        """A fold-out; code inside it is shown and does not run."""
        return f"<details><summary><b>{name}</b></summary>\n\n{self.text(body)}\n\n</details>"

    def text(self, body) -> str:
        """Blocks as one text, with code in fences."""
        parts = [fence(b.text, "python") if isinstance(b, Code) else b for b in body]
        return "\n\n".join(part for part in parts if part)


def escaped(text: str) -> str:
    """Text that Markdown shows as it is.

    >>> escaped("$3 < a_b")
    '\\\\$3 &lt; a\\\\_b'
    """
    return SPECIAL.sub(r"\\\1", html.escape(text, quote=False))


def plain_formula(tex: str) -> str:
    """A formula on one line, without the signs that a table or HTML would take for its own.

    >>> plain_formula(r"|a| < \\|b\\|")
    '\\\\vert a\\\\vert  \\\\lt  \\\\Vert b\\\\Vert'
    """
    names = {r"\|": r"\Vert ", "|": r"\vert ", "<": r"\lt ", ">": r"\gt "}
    return re.sub(r"\\\||[|<>]", lambda sign: names[sign[0]], tex).strip()


def source_address(title: str) -> str | None:
    """Where a work can be read, as its entry in the bibliography says.

    >>> source_address("Jeffrey L. Elman. Finding structure in time. doi:10.1207/s1551.")
    'https://doi.org/10.1207/s1551'
    """
    found = SOURCE.search(title)
    if not found:
        return None
    if found["doi"]:
        return f"https://doi.org/{found['doi']}"
    return f"https://arxiv.org/abs/{found['arxiv']}" if found["arxiv"] else found["url"]


def without_title(node: nodes.Element) -> nodes.Element:
    """The same node for reading, but for its title."""
    body = nodes.container()
    body.children = [child for child in node.children if not isinstance(child, nodes.title)]
    body.children = [
        inner
        for child in body.children
        for inner in (child.children if is_content(child) else [child])
    ]
    return body


def is_content(node: nodes.Node) -> bool:
    """Whether a section is only the box that an exercise or a theorem puts its body in."""
    return isinstance(node, nodes.section) and not any(
        isinstance(child, nodes.title) for child in node.children
    )


def around(mark: str, text: str) -> str:
    return f"{mark}{text.strip()}{mark}" if text.strip() else ""


def code_span(text: str) -> str:
    """Inline code, also where it holds backticks.

    >>> code_span("a`b")
    '`` a`b ``'
    """
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def fence(text: str, language: str) -> str:
    """A block of code, in a fence longer than any inside it."""
    longest = max((len(run) for run in re.findall(r"^`{3,}", text, re.MULTILINE)), default=2)
    marks = "`" * max(3, longest + 1)
    known = {"default": "", "none": "", "ipython3": "python"}
    return f"{marks}{known.get(language, language)}\n{text.strip(chr(10))}\n{marks}"


def indented(text: str, width: int) -> str:
    """The text with every line but the first moved to the right."""
    return "\n".join(
        line if first == 0 or not line else " " * width + line
        for first, line in enumerate(text.split("\n"))
    )


def quoted(body) -> Iterator[Block]:
    """Blocks as one quotation, which ends at each cell of code and goes on behind it."""
    waiting: list[str] = []
    for block in [*body, None]:
        if isinstance(block, str):
            waiting.append("\n".join(f"> {line}".rstrip() for line in block.split("\n")))
            continue
        if waiting:
            yield "\n>\n".join(waiting)
            waiting = []
        if block is not None:
            yield block
