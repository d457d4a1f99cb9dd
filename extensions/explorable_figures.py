"""Figures that move on the built page: no kernel, no network, also from ``file://``.

A page that holds ``<figure data-explorable="fading">`` gets one small deferred script,
``explorables-loader.js``. When the figure comes near the view, the loader adds the
classic script ``_static/explorables/fading.js``. From ``file://`` a browser refuses
modules, ``import()`` and ``fetch``, so that nothing here uses them.
"""

import re
from pathlib import Path

from sphinx.application import Sphinx

from extensions import assets

FIGURE = re.compile(r'<figure[^>]*\sdata-explorable="([\w-]+)"')


def names_in(html: str) -> list[str]:
    """The explorables on a page, each once, in the page's order.

    >>> names_in('<figure class="explorable" data-explorable="fading">')
    ['fading']
    """
    return list(dict.fromkeys(FIGURE.findall(html)))


def add_scripts(app: Sphinx, pagename, templatename, context, doctree) -> None:
    """Write what the page's explorables need, and link the loader and the style sheet."""
    names = names_in(context.get("body") or "")
    if not names or not assets.is_site(app):
        return
    from payattention.explorables import bundle

    for name in names:
        assets.write(app, f"explorables/{name}.js", bundle.classic_script(name))
    loader = Path(__file__).parent / "face" / "explorables-loader.js"
    script = bundle.static_model() + "\n" + loader.read_text(encoding="utf8")
    assets.write(app, "explorables/loader.js", script)
    assets.write(app, "explorables/explorables.css", bundle.stylesheet())
    app.add_js_file("explorables/loader.js", loading_method="defer")
    app.add_css_file("explorables/explorables.css")


def setup(app: Sphinx) -> dict:
    app.connect("html-page-context", add_scripts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
