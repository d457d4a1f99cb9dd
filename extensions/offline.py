"""No page loads anything from another host, and none loads what it does not use.

The theme brings 1.5 MB of script that redraws as SVG the icons that its web font has
drawn already, web fonts of 2,000 icons of which it shows two dozen, and a client for
running cells on a remote server. All three go. Links that a reader may click stay.
"""

import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util import logging

from extensions import assets

logger = logging.getLogger(__name__)

ICONS = re.compile(r"\s*<(script|link)[^>]*scripts/fontawesome\.js[^>]*>(</script>)?")
# what makes a browser fetch: not <a href>, and not data such as xmlns
FETCHES = re.compile(
    r"<(?:script|img|iframe|source|video|audio|embed|object|use)\b[^>]*?"
    r'\s(?:src|data|href|srcset)=["\']?(?:https?:)?//[^"\' >]+'
    r'|<link\b(?![^>]*rel="(?:canonical|author|license)")[^>]*?\shref=["\'](?:https?:)?//[^"\' >]+'
    r'|@import\s+(?:url\()?["\']?(?:https?:)?//[^"\')]+'
    r'|url\(["\']?(?:https?:)?//[^"\')]+',
)
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"


def foreign(html: str) -> list[str]:
    """The parts of a page that would make a browser ask another host."""
    return [match.group(0) for match in FETCHES.finditer(html)]


def is_unused(script) -> bool:
    """Whether a page script is the remote-kernel client, or the state of kernel widgets."""
    attributes = getattr(script, "attributes", {})
    body = attributes.get("body") or ""
    return (
        "thebe" in str(getattr(script, "filename", script)).lower()
        or "THEBE_JS_URL" in body
        or attributes.get("type") == WIDGET_STATE
    )


def drop_unused(app: Sphinx, pagename, templatename, context, doctree) -> None:
    for kind in ("script_files", "css_files"):
        if kind in context:
            context[kind] = [item for item in context[kind] if not is_unused(item)]


def finish(app: Sphinx, exception: Exception | None) -> None:
    """Take the icon script out of every page, put the small icon fonts in, and look again."""
    if exception or not assets.is_site(app):
        return
    out = Path(app.outdir)
    for name in ("fontawesome.js", "fontawesome.js.map", "fontawesome.js.LICENSE.txt"):
        (out / "_static/scripts" / name).unlink(missing_ok=True)
    fonts = out / "_static/vendor/fontawesome/webfonts"
    for font in fonts.glob("*.ttf"):  # every browser that runs this site reads woff2
        font.unlink()
    assets.copy(app, assets.VENDOR / "fontawesome", "vendor/fontawesome/webfonts")
    for page in out.rglob("*.html"):
        html = page.read_text(encoding="utf8")
        clean = ICONS.sub("", html)
        if clean != html:
            page.write_text(clean, encoding="utf8")
        for part in foreign(clean):
            logger.warning("%s asks another host: %s", page.relative_to(out), part)


def setup(app: Sphinx) -> dict:
    # late, so that every extension has added its scripts
    app.connect("html-page-context", drop_unused, priority=900)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
