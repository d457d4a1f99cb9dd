"""Mathematics that needs no other host.

Where ``node`` is there, KaTeX writes it into the page, and no script runs. Where it is
not, a vendored MathJax draws it in the browser: heavier, but the book still builds.
``PAYATTENTION_MATHJAX=1`` asks for the second way.
"""

import contextlib
import html
import json
import re
import shutil
import subprocess
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ExtensionError
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

from extensions import assets, execution

logger = logging.getLogger(__name__)

SERVER = Path(__file__).parent / "katex_lines.js"
# Sphinx numbers a formula; KaTeX must not number its lines once more
NUMBERED = re.compile(r"\\(begin|end)\{(equation|align|alignat|gather)\}")


class Katex:
    """KaTeX in one node process, started at the first formula and asked line by line."""

    def __init__(self) -> None:
        self.process: subprocess.Popen | None = None

    def render(self, tex: str, *, display: bool) -> str:
        """The formula as HTML with MathML beside it.

        Raises ``ValueError`` with KaTeX's words for a formula that it cannot read, and
        ``ExtensionError`` if node has died.
        """
        if self.process is None:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            self.process = subprocess.Popen(["node", SERVER], encoding="utf8", **pipes)
        try:
            self.process.stdin.write(json.dumps({"tex": tex, "display": display}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except OSError:
            line = ""
        if not line:
            raise ExtensionError(f"node stopped while it wrote the formula {tex!r}")
        answer = json.loads(line)
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer["html"]

    def close(self) -> None:
        if self.process is not None:
            with contextlib.suppress(BrokenPipeError):  # it may have died before us
                self.process.stdin.close()
            self.process.wait()
            self.process.stdout.close()
            self.process = None


katex = Katex()


def formula(node: nodes.Node, *, display: bool) -> str:
    """HTML of a formula's node; one that KaTeX cannot read is a warning, and shown as TeX."""
    tex = NUMBERED.sub(r"\\\1{\2*}", node.astext())
    try:
        return katex.render(tex, display=display)
    except ValueError as error:
        logger.warning("formula: %s", error, location=node)
        return f"<code>{html.escape(tex)}</code>"


def visit_inline(writer, node: nodes.math) -> None:
    writer.body.append(writer.starttag(node, "span", "", CLASS="math"))
    writer.body.append(formula(node, display=False) + "</span>")
    raise nodes.SkipNode


def visit_block(writer, node: nodes.math_block) -> None:
    writer.body.append(writer.starttag(node, "div", "", CLASS="math"))
    writer.body.append(formula(node, display=True))
    if node["number"]:
        writer.body.append(f'<span class="eqno">({get_node_equation_number(writer, node)})')
        writer.add_permalink_ref(node, "Link to this equation")
        writer.body.append("</span>")
    writer.body.append("</div>")
    raise nodes.SkipNode


def prerenders() -> bool:
    """Whether formulas are written into the page at build time."""
    return shutil.which("node") is not None and not execution.is_on("PAYATTENTION_MATHJAX")


def configure(app: Sphinx, config: Config) -> None:
    config.html_math_renderer = "katex" if prerenders() else "mathjax"
    config.mathjax_path = "mathjax/tex-chtml.js"


def add_renderer(app: Sphinx) -> None:
    if not assets.is_site(app):
        return
    name = app.config.html_math_renderer
    assets.copy(app, assets.VENDOR / name, name)
    if name == "katex":
        (assets.static(app) / name / "katex.min.js").unlink()  # the build runs it, no page does
        app.add_css_file("katex/katex.min.css")


def setup(app: Sphinx) -> dict:
    app.add_html_math_renderer("katex", (visit_inline, None), (visit_block, None))
    app.connect("config-inited", configure)
    app.connect("builder-inited", add_renderer)
    app.connect("build-finished", lambda app, exception: katex.close())
    return {"parallel_read_safe": True, "parallel_write_safe": False}
