"""Every page tells the browser which scripts it may run, and that it may ask nobody else.

A Content-Security-Policy in a meta tag holds wherever the site is served from, and from a
disk. Scripts run from the site's own files, and inline only those that the build left,
each by its hash. Styles may stand inline: pictures and mathematics carry some.
"""

import base64
import hashlib
import re
from pathlib import Path

from sphinx.application import Sphinx

from extensions import assets

HEAD = re.compile(r'<head>\s*<meta charset="utf-8" ?/?>')
SCRIPT = re.compile(r"<script\b([^>]*)>(.*?)</script>", re.DOTALL)
JAVASCRIPT = re.compile(r'\stype="(?:text/javascript|application/javascript|module)"')
REMOTE_KERNEL = re.compile(
    r'<script type="text/x-thebe-config">.*?</script>\s*'
    r"<script>kernelName = '[^']*'</script>",
    re.DOTALL,
)
PRINT = re.compile(r' onclick="window\.print\(\)"')


def inline_scripts(html: str) -> list[str]:
    """The text of each script that stands in the page itself, data left out.

    >>> inline_scripts('<script>a = 1</script><script type="application/json">{}</script>')
    ['a = 1']
    """
    return [
        text
        for attributes, text in SCRIPT.findall(html)
        if " src=" not in attributes
        and (" type=" not in attributes or JAVASCRIPT.search(attributes))
    ]


def policy(html: str) -> str:
    """The page's policy, with a hash for each of its inline scripts."""
    hashes = {
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for text in inline_scripts(html)
    }
    scripts = " ".join(["'self'", *(f"'sha256-{digest}'" for digest in sorted(hashes))])
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {scripts}",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data:",
            "font-src 'self' data:",
            "connect-src 'self'",
            "manifest-src 'self'",
            "base-uri 'none'",
            "form-action 'self'",
        ]
    )


def guard(html: str) -> str:
    """The page with its policy; what no policy could allow is taken out of it before.

    The print button's inline handler becomes an attribute that the book's script knows.
    Raises ``ValueError`` for a page without the usual head.
    """
    html = PRINT.sub(" data-print", REMOTE_KERNEL.sub("", html))
    found = HEAD.search(html)
    if not found:
        raise ValueError('page: expected <head><meta charset="utf-8">')
    tag = f'\n    <meta http-equiv="Content-Security-Policy" content="{policy(html)}">'
    return html[: found.end()] + tag + html[found.end() :]


def finish(app: Sphinx, exception: Exception | None) -> None:
    if exception or not assets.is_site(app):
        return
    for page in Path(app.outdir).rglob("*.html"):
        html = page.read_text(encoding="utf8")
        if "Content-Security-Policy" not in html and "_static" not in page.parts:
            page.write_text(guard(html), encoding="utf8")


def setup(app: Sphinx) -> dict:
    # the last of all that change a finished page: a later change would break the hashes
    app.connect("build-finished", finish, priority=950)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
