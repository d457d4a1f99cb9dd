"""Mend the names, roles and landmarks that the theme and the extensions leave wanting.

Each patch says what it mends. A patch that no page needs any more is reported by the
tests, so that this list shrinks when the theme gets better.
"""

import re
from pathlib import Path

from sphinx.application import Sphinx

from extensions import assets

PATCHES = {
    "a control's visible text must be part of its name (WCAG 2.5.3)": (
        r'(<button[^>]*search-button-field[^>]*?) aria-label="Search"',
        r"\1",
    ),
    "an icon inside a named button needs no name of its own": (
        r'<i class="(theme-switch [^"]*)" (data-mode="\w+") *title="[^"]*"',
        r'<i class="\1" \2 aria-hidden="true"',
    ),
    "the book's mark stands in a landmark": (
        r'<div class="sidebar-primary-item">(\s*<a class="navbar-brand)',
        r'<div class="sidebar-primary-item" role="region" aria-label="Book">\1',
    ),
    "docutils gives citations roles that are withdrawn": (
        r'(<div) role="list"( class="citation-list">)'
        r'|(<div class="citation"[^>]*) role="doc-biblioentry"',
        r"\1\2\3",
    ),
    "an id stands once on a page, and every exercise has the same one": (
        r'<section id="(exercise|solution)-content">',
        r'<section class="\1-content">',
    ),
    "the space before a link is no part of the link": (
        r"(Solution to)(<a [^>]*>) ",
        r"\1 \2",
    ),
    "a signature's parameters are lines, no definitions without terms": (
        r'(<span class="sig-paren">\(</span>)\s*<dl>\s*<dd>',
        r'\1<span class="sig-line">',
    ),
    "a signature's next parameter": (
        r'(</em>,)</dd>\s*<dd>(<em class="sig-param">)',
        r'\1</span><span class="sig-line">\2',
    ),
    "the end of a signature's parameters": (
        r'(</em>,)</dd>\s*</dl>\s*(<span class="sig-paren">\))',
        r"\1</span>\2",
    ),
    "the arrow beside a part of the contents needs a name": (
        r'<summary>(<span class="toctree-toggle")',
        r'<summary aria-label="Show the pages of this part">\1',
    ),
    "a fold-out's name is its own text": (
        r'(<summary[^>]*?) aria-label="Toggle hidden content"',
        r"\1",
    ),
}


def mend(html: str) -> str:
    """The page with every patch applied; applying it twice changes nothing more."""
    for pattern, replacement in PATCHES.values():
        html = re.sub(pattern, replacement, html)
    return html


def finish(app: Sphinx, exception: Exception | None) -> None:
    if exception or not assets.is_site(app):
        return
    for page in Path(app.outdir).rglob("*.html"):
        html = page.read_text(encoding="utf8")
        mended = mend(html)
        if mended != html:
            page.write_text(mended, encoding="utf8")


def setup(app: Sphinx) -> dict:
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
