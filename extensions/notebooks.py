"""Each chapter as a plain notebook, for Colab, Jupyter and GitHub.

Every build makes the notebooks again; the site's download button gives them, and
``make notebooks`` copies them beside their sources, where Colab finds them. They hold no
outputs, and the same text gives the same bytes.
"""

import base64
import json
import posixpath
import re
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging

import payattention
from extensions import address, assets, setup_cell
from extensions.plain_markdown import Block, Code, Picture, Writer, escaped

logger = logging.getLogger(__name__)

HIDDEN = {"hide-input", "hide-cell"}
RAW_MYST = re.compile(
    r"^\s*(?:`{3,}|:{3,}|~{3,})\{|\{[a-z:-]+\}`|^\([\w-]+\)=$|^:(?:tags|mystnb|label|class):",
    re.MULTILINE,
)


def is_chapter(app: Sphinx, pagename: str) -> bool:
    """Whether a page has cells to run: a notebook written in Markdown."""
    return "kernelspec" in (app.env.metadata.get(pagename) or {})


def number_of(app: Sphinx, pagename: str, node: nodes.Node) -> str:
    """The number under which the site shows an exercise, a theorem or an equation."""
    if isinstance(node, nodes.math_block):
        return str(node["number"])
    for numbers in app.env.toc_fignumbers.get(pagename, {}).values():
        for name in node.get("ids", []):
            if name in numbers:
                return ".".join(map(str, numbers[name]))
    return ""


def web_address(site: str, pagename: str, target: str) -> str:
    """A link of a page as an address that works outside the site.

    >>> web_address("https://a.io/book/", "chapters/x", "../index.html#top")
    'https://a.io/book/index.html#top'
    >>> web_address("https://a.io/book/", "chapters/x", "#here")
    'https://a.io/book/chapters/x.html#here'
    """
    if re.match(r"[a-z]+:", target):
        return target
    path, _, anchor = target.partition("#")
    page = f"{pagename}.html"
    if path:
        page = posixpath.normpath(posixpath.join(posixpath.dirname(pagename), path))
    return site + page + (f"#{anchor}" if anchor else "")


def embed(app: Sphinx, picture: Picture) -> str:
    """A drawing inside the notebook: its PNG, since few notebooks show an SVG."""
    png = (Path(app.srcdir) / picture.uri).with_suffix(".png")
    if not png.exists():
        raise ValueError(f"{picture.uri}: no PNG beside it; make pictures")
    data = base64.b64encode(png.read_bytes()).decode()
    size = f' width="{picture.width}"' if picture.width else ""
    alt = picture.alt.replace('"', "&quot;")
    return f'<img src="data:image/png;base64,{data}" alt="{alt}"{size}>'


def where_else(app: Sphinx, pagename: str) -> str:
    """The line below the title: where to run the notebook, and where to read it."""
    repository = address.repository(app.config)
    path = repository.removeprefix("https://github.com/")
    branch = address.branch(app.config)
    colab = f"https://colab.research.google.com/github/{path}/blob/{branch}/{pagename}.ipynb"
    page = f"{address.site(app.config)}{pagename}.html"
    return f"[Open in Colab]({colab}) · [Read it as a page]({page}) · [The book]({repository})"


def notebook(app: Sphinx, pagename: str, doctree: nodes.document) -> dict:
    """The page as a notebook: title, where else, set-up, then the chapter and its sources."""
    site = address.site(app.config)
    writer = Writer(
        address=lambda target: web_address(site, pagename, target),
        number=lambda node: number_of(app, pagename, node),
        picture=lambda picture: embed(app, picture),
    )
    title, *body = writer.blocks(doctree)
    setup = setup_cell.source(address.repository(app.config), payattention.__version__)
    blocks: list[Block] = [
        f"{title}\n\n{where_else(app, pagename)}",
        Code(setup, {"tags": ["hide-input"]}),
        *body,
    ]
    if writer.sources:
        blocks.append(
            "## Sources\n\n" + "\n".join(f"- {linked(s)}" for s in sorted(writer.sources))
        )
    return {
        "cells": cells(blocks),
        "metadata": {
            "colab": {"provenance": []},
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def linked(source: str) -> str:
    """A bibliography entry whose address can be clicked.

    >>> linked("A. B. Title. 2020. arXiv:2001.00001.")
    'A. B. Title. 2020. [arXiv:2001.00001](https://arxiv.org/abs/2001.00001).'
    """
    said, *address = re.split(r" (?=doi:|arXiv:|URL:)", source, maxsplit=1)
    source = " ".join([escaped(said), *address])  # an address is no text: nothing to escape
    source = re.sub(r"doi:(10\.\S+?)(\.?)$", r"[doi:\1](https://doi.org/\1)\2", source)
    source = re.sub(
        r"arXiv:(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", source, count=1
    )
    return re.sub(r"URL: (\S+?)(\.?)$", r"<\1>\2", source)


def cells(blocks: list[Block]) -> list[dict]:
    """Cells of the notebook; text up to a heading or a cell of code is one cell."""
    made: list[dict] = []
    text: list[str] = []

    def flush() -> None:
        if text:
            made.append({"cell_type": "markdown", "metadata": {}, "source": "\n\n".join(text)})
            text.clear()

    for block in blocks:
        if isinstance(block, Code):
            flush()
            made.append(code_cell(block))
            continue
        if block.startswith("#"):
            flush()
        if block:
            text.append(block)
    flush()
    for position, cell in enumerate(made):
        cell["id"] = f"cell-{position:03d}"
    return made


def code_cell(code: Code) -> dict:
    hidden = bool(HIDDEN & set(code.metadata.get("tags", [])))
    metadata = {"cellView": "form", "jupyter": {"source_hidden": True}} if hidden else {}
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": metadata,
        "outputs": [],
        "source": code.text,
    }


def as_text(made: dict) -> str:
    """The notebook's file: sources split into lines, as Jupyter writes them, keys in order."""
    whole = made | {
        "cells": [cell | {"source": cell["source"].splitlines(True)} for cell in made["cells"]]
    }
    return json.dumps(whole, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def folder(app: Sphinx) -> Path:
    """Where a build leaves its notebooks: beside its pages."""
    return Path(app.outdir).parent / "notebooks"


def export(app: Sphinx, pagename: str, templatename, context, doctree) -> None:
    """Write the page's notebook, if it has cells."""
    if doctree is None or not is_chapter(app, pagename) or not assets.is_site(app):
        return
    try:
        made = notebook(app, pagename, doctree)
    except ValueError as error:
        logger.warning("notebook of %s: %s", pagename, error, location=pagename)
        return
    for cell in made["cells"]:
        if cell["cell_type"] == "markdown" and (raw := RAW_MYST.search(cell["source"])):
            logger.warning("notebook of %s: raw MyST %r", pagename, raw[0], location=pagename)
    target = folder(app) / f"{pagename}.ipynb"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(as_text(made), encoding="utf8", newline="\n")


def offer(app: Sphinx, exception: Exception | None) -> None:
    """Let the download button give the notebook, in place of the one that the theme put there."""
    if exception or not assets.is_site(app):
        return
    for made in folder(app).rglob("*.ipynb"):
        name = made.relative_to(folder(app))
        target = Path(app.outdir) / "_sources" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(made.read_bytes())


def setup(app: Sphinx) -> dict:
    # after every extension that adds to a page's tree, before the theme makes its buttons
    app.connect("html-page-context", export, priority=400)
    app.connect("build-finished", offer, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
