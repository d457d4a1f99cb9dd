"""Put the book's own and vendored files below the site's ``_static/``.

Jupyter Book links every ``.js`` and ``.css`` of a default ``_static/`` folder on every
page. So these files live elsewhere, and each page gets what it needs by name.
"""

from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util.fileutil import copy_asset

HERE = Path(__file__).parent
ROOT = HERE.parent
FACE = HERE / "face"
VENDOR = HERE / "vendor"


def is_site(app: Sphinx) -> bool:
    """Whether the build writes web pages (and not, say, LaTeX)."""
    return app.builder.format == "html"


def static(app: Sphinx) -> Path:
    """The folder that pages know as ``_static``; made if it is not there."""
    folder = Path(app.outdir) / "_static"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write(app: Sphinx, name: str, text: str) -> None:
    """Write one text file below ``_static``, only where it changes (so that builds repeat)."""
    target = static(app) / name
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists() or target.read_text(encoding="utf8") != text:
        target.write_text(text, encoding="utf8")


def copy(app: Sphinx, source: Path, name: str) -> None:
    """Copy a file or a folder to ``_static/<name>`` (the folder that receives it)."""
    copy_asset(str(source), str(static(app) / name))


def add_face(app: Sphinx) -> None:
    """Copy the style sheet, the small script and the fonts, and link them on every page."""
    if not is_site(app):
        return
    copy(app, FACE, "face")
    copy(app, VENDOR / "fonts", "face/fonts")
    app.add_css_file("face/book.css", priority=900)  # after the theme's own sheets
    app.add_js_file("face/book.js", loading_method="defer")


def setup(app: Sphinx) -> dict:
    app.connect("builder-inited", add_face)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
