"""Mathematics that needs no other host.

Where ``node`` is there, KaTeX writes it into the page and no script runs. Where it is
not, a vendored MathJax draws it in the browser: heavier, but the book still builds.
``PAYATTENTION_MATHJAX=1`` asks for the second way.
"""

import shutil

from sphinx.application import Sphinx
from sphinx.config import Config

from extensions import assets, execution

MATHJAX = {
    # the assistive copy needs a further script, and repeats what the TeX in the page says
    "options": {"enableAssistiveMml": True, "menuOptions": {"settings": {"assistiveMml": True}}},
    "chtml": {"displayAlign": "center"},
}


def prerenders() -> bool:
    """Whether formulas are written into the page at build time."""
    return shutil.which("node") is not None and not execution.is_on("PAYATTENTION_MATHJAX")


def configure(app: Sphinx, config: Config) -> None:
    if prerenders():
        config.katex_prerender = True
        config.katex_css_path = "katex/katex.min.css"
    else:
        config.mathjax_path = "mathjax/tex-chtml.js"
        config.mathjax3_config = MATHJAX


def add_renderer(app: Sphinx) -> None:
    if assets.is_site(app):
        name = "katex" if prerenders() else "mathjax"
        assets.copy(app, assets.VENDOR / name, name)


def setup(app: Sphinx) -> dict:
    if prerenders():
        app.setup_extension("sphinxcontrib.katex")
    app.connect("config-inited", configure)
    app.connect("builder-inited", add_renderer)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
