"""Figures that move on the built page: no kernel, no network, also from ``file://``.

A page that holds ``<figure data-explorable="fading">`` gets one small deferred script,
``explorables-loader.js``. When the figure comes near the view, the loader adds the
classic script ``_static/explorables/fading.js``. From ``file://`` a browser refuses
modules, ``import()`` and ``fetch``, so that nothing here uses them. A model's weights lie
beside that script, as classic scripts too; a page loads them when its reader asks for them.

A page without cells, such as the cover, holds a figure by the directive ``{explorable}``.
"""

import hashlib
import json
import re
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from extensions import assets
from payattention import explorables
from payattention.explorables import bundle, writer

VERSIONS = "/* VERSIONS */ {}"
WEIGHTS = {"writer": writer.scripts, "pruner": writer.scripts}  # the same files, written once
FIGURE = re.compile(r'<figure[^>]*\sdata-explorable="([\w-]+)"')


def names_in(html: str) -> list[str]:
    """The explorables on a page, each once, in the page's order.

    >>> names_in('<figure class="explorable" data-explorable="fading">')
    ['fading']
    """
    return list(dict.fromkeys(FIGURE.findall(html)))


class ExplorableDirective(SphinxDirective):
    """A figure on a page that runs no cells: ``{explorable} Bill`` is what ``Bill()`` shows.

    With the option ``small`` it is ``Bill(small=True)``.
    """

    required_arguments = 1
    option_spec: ClassVar = {"small": directives.flag}

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        if name not in explorables.__all__:
            known = ", ".join(explorables.__all__)
            raise self.error(f"explorable: got {name!r}; expected one of {known}")
        figure = getattr(explorables, name)(**dict.fromkeys(self.options, True))
        return [nodes.raw("", figure.fallback(), format="html")]


def write_scripts(app: Sphinx) -> None:
    """Write each explorable's script, and the loader that knows which version is which."""
    if not assets.is_site(app):
        return
    versions = {}
    for name in bundle.names():
        script = bundle.classic_script(name)
        versions[name] = hashlib.sha256(script.encode()).hexdigest()[:8]
        assets.write(app, f"explorables/{name}.js", script)
    loader = (assets.FACE / "explorables-loader.js").read_text(encoding="utf8")
    loader = loader.replace(VERSIONS, json.dumps(versions))
    assets.write(app, "explorables/loader.js", bundle.static_model() + "\n" + loader)
    assets.write(app, "explorables/explorables.css", bundle.stylesheet())


def link(app: Sphinx, pagename, templatename, context, doctree) -> None:
    """Link the loader and the style sheet on a page that holds an explorable.

    Weights are written where a page may ask for them, and linked nowhere.
    """
    names = names_in(context.get("body") or "")
    if names:
        app.add_js_file("explorables/loader.js", loading_method="defer")
        app.add_css_file("explorables/explorables.css")
    for name in WEIGHTS.keys() & set(names):
        for path, script in WEIGHTS[name]().items():
            assets.write(app, f"explorables/{path}", script)


def setup(app: Sphinx) -> dict:
    app.add_directive("explorable", ExplorableDirective)
    app.connect("builder-inited", write_scripts)
    app.connect("html-page-context", link)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
