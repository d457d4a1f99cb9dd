"""The library's reference, from its docstrings; chapters and functions link to each other.

A chapter names in its front matter what it explains, by dotted names. Its head then links
to these functions, and says how long the chapter runs; each function links back.
"""

import importlib
import json
import re
from functools import cache
from pathlib import Path

import yaml
from docutils import nodes
from docutils.statemachine import StringList
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from extensions import address

logger = logging.getLogger(__name__)

FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---\n(.*)", re.DOTALL)
TITLE = re.compile(r"^# (.+)$", re.MULTILINE)
MODULE = re.compile(r"automodule:: (payattention[\w.]*)")
RUNNING = Path("chapters/running.json")
SECONDS = ((20, "some seconds"), (120, "a minute or two"), (float("inf"), "some minutes"))
BYTES = ((1e9, "less than 1 GB"), (2 * 1024**3, "1 to 2 GB"), (float("inf"), "more than 2 GB"))


@cache
def explained(srcdir: Path) -> dict[str, list[str]]:
    """Page -> dotted names that its front matter says it explains, for every chapter."""
    found = {}
    for path in sorted((srcdir / "chapters").glob("*.md")):
        match = FRONT_MATTER.match(path.read_text(encoding="utf8"))
        if match:
            names = yaml.safe_load(match[1]).get("explains", [])
            if names:
                found[f"chapters/{path.stem}"] = names
    return found


def resolve(name: str) -> object:
    """What a dotted name means.

    Raises ``LookupError`` for a name that the library does not have.
    """
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            if not hasattr(found, part):
                raise LookupError(f"explains: {name!r} has no {part!r}")
            found = getattr(found, part)
        return found
    raise LookupError(f"explains: {name!r} is not in the library")


def title_of(srcdir: Path, page: str) -> str:
    """A page's title, as it stands in its source."""
    return TITLE.search((srcdir / f"{page}.md").read_text(encoding="utf8"))[1]


def link_back(app: Sphinx, what: str, name: str, obj, options, lines: list[str]) -> None:
    """Add to an entry which chapters explain it."""
    srcdir = Path(app.srcdir)
    pages = [page for page, names in explained(srcdir).items() if name in names]
    if pages:
        links = ", ".join(f":doc:`{title_of(srcdir, page)} </{page}>`" for page in pages)
        lines += ["", f"Explained in {links}."]


def coarse(value: float, classes: tuple[tuple[float, str], ...]) -> str:
    """The first class that a measurement falls into: wide, so that machines agree.

    >>> coarse(45, SECONDS)
    'a minute or two'
    """
    return next(words for limit, words in classes if value <= limit)


def add_head(app: Sphinx, doctree: nodes.document) -> None:
    """Say below a chapter's title what it takes to run it, and which code it explains."""
    page = app.env.docname
    srcdir = Path(app.srcdir)
    names = explained(srcdir).get(page, [])
    running = srcdir / RUNNING
    measured = (
        json.loads(running.read_text(encoding="utf8"))["chapters"] if running.exists() else {}
    )
    entry = measured.get(page.removeprefix("chapters/"))
    section = next(iter(doctree.findall(nodes.section)), None)
    if section is None or not (names or entry):
        return
    head = nodes.paragraph(classes=["chapter-head"])
    if entry:
        app.env.note_dependency(str(running))
        head += nodes.Text(
            f"Runs in {coarse(entry['seconds'], SECONDS)} on a laptop without a GPU, with "
            f"{coarse(entry['peak_bytes'] or 0, BYTES)} of memory. "
        )
    if names:
        head += nodes.Text("The code: ")
        for position, name in enumerate(names):
            try:
                resolve(name)
            except LookupError as error:
                logger.warning("%s", error, location=page)
            head += nodes.Text(", " if position else "")
            head += to_code(name, page)
        head += nodes.Text(".")
    section.insert(1, head)


def to_code(name: str, page: str) -> nodes.Node:
    """A link to a name's entry in the reference."""
    reference = addnodes.pending_xref(
        refdomain="py", reftype="obj", reftarget=name, refdoc=page, refexplicit=True, refwarn=True
    )
    reference += nodes.literal("", name.removeprefix("payattention.").split(".", 1)[-1])
    return reference


class LibraryModules(SphinxDirective):
    """The modules of the library, by page of the reference, each with its first line."""

    def run(self) -> list[nodes.Node]:
        lines = []
        folder = Path(self.env.srcdir) / "reference"
        for page in pages_of_reference(folder):
            text = (folder / f"{page}.md").read_text(encoding="utf8")
            self.env.note_dependency(str(folder / f"{page}.md"))
            lines += ["", f"**{{doc}}`{page}`**", ""]
            for module in MODULE.findall(text):
                first = (importlib.import_module(module).__doc__ or "").strip().splitlines()[0]
                lines.append(f"- {{py:mod}}`{module}`: {as_markdown(first)}")
        box = nodes.container()
        self.state.nested_parse(StringList(lines, folder.name), 0, box)
        return box.children


def pages_of_reference(folder: Path) -> list[str]:
    """Pages that document modules, in the order of the table of contents."""
    toc = (folder.parent / "_toc.yml").read_text(encoding="utf8")
    return [page for page in re.findall(r"reference/(\w+)", toc) if page != "index"]


def as_markdown(line: str) -> str:
    """A docstring's line with its code in single backticks."""
    return line.replace("``", "`")


def source_link(app: Sphinx):
    """A function that gives the address of a module's file in the repository."""

    def resolve_link(domain: str, info: dict) -> str | None:
        if domain != "py" or not info["module"]:
            return None
        path = info["module"].replace(".", "/")
        folder = (Path(app.srcdir) / "src" / path).is_dir()
        file = f"{path}/__init__.py" if folder else f"{path}.py"
        return f"{address.repository(app.config)}/blob/{address.branch(app.config)}/src/{file}"

    return resolve_link


def setup(app: Sphinx) -> dict:
    app.setup_extension("sphinx.ext.autodoc")
    app.setup_extension("sphinx.ext.napoleon")
    app.config.linkcode_resolve = source_link(app)
    app.setup_extension("sphinx.ext.linkcode")
    app.connect("builder-inited", lambda app: explained.cache_clear())
    app.connect("autodoc-process-docstring", link_back, priority=600)
    app.connect("doctree-read", add_head)
    app.add_directive("library-modules", LibraryModules)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
