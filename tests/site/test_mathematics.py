"""Formulas in both ways: written at build time where node is there, drawn by MathJax where not."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGE = r"""
# Formulas

Inline, $n^2$ arrows, and two on their own:

$$
\mathbf{h}_t = \tanh(W \mathbf{x}_t + U \mathbf{h}_{t-1})
$$ (eq-state)

\begin{align}
a &= b \\
c &= d
\end{align}

See {eq}`eq-state`.
"""


@pytest.fixture(scope="module", params=["katex", "mathjax"])
def book(request, tmp_path_factory):
    """Which renderer, and a book of one page built with this book's configuration."""
    if request.param == "katex" and shutil.which("node") is None:
        pytest.skip("node is not installed")
    folder = tmp_path_factory.mktemp(request.param)
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf8"))
    config["sphinx"]["config"]["html_theme_options"]["logo"] = {"text": "Formulas"}
    config["html"].pop("favicon")
    config["sphinx"]["config"]["ogp_social_cards"] = {"enable": False}
    shutil.copy(ROOT / "references.bib", folder)
    (folder / "_config.yml").write_text(yaml.safe_dump(config), encoding="utf8")
    (folder / "_toc.yml").write_text("format: jb-book\nroot: index\n", encoding="utf8")
    (folder / "index.md").write_text(PAGE, encoding="utf8")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}
    if request.param == "mathjax":
        environment["PATH"] = str(folder)  # a machine without node
    build = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
    command = [*build, "build", "-W", "--keep-going", folder]
    done = subprocess.run(command, env=environment, capture_output=True, encoding="utf8")
    assert done.returncode == 0, done.stderr
    return request.param, folder / "_build" / "html" / "index.html"


def test_formulas_are_drawn_and_nobody_else_is_asked(visit, book):
    renderer, index = book
    page, log = visit(index.as_uri())
    drawn = {"katex": ".katex-html", "mathjax": "mjx-container"}[renderer]
    page.wait_for_function(f"document.querySelectorAll({drawn!r}).length === 3")
    assert all(formula.bounding_box()["height"] > 8 for formula in page.locator(drawn).all())
    assert (log.foreign, log.failed, log.complaints) == ([], [], [])
    assert page.locator(".eqno").first.inner_text().startswith("(1)")


def test_a_formula_has_words_for_a_screen_reader(visit, book):
    renderer, index = book
    page, _ = visit(index.as_uri())
    copy = {"katex": ".katex-mathml math", "mathjax": "mjx-assistive-mml math"}[renderer]
    page.wait_for_function(f"document.querySelectorAll({copy!r}).length === 3")


def test_each_formula_is_numbered_once(visit, book):
    renderer, index = book
    page, _ = visit(index.as_uri())
    drawn = {"katex": ".katex-html", "mathjax": "mjx-container"}[renderer]
    page.wait_for_function(f"document.querySelectorAll({drawn!r}).length === 3")
    assert page.locator(f"{drawn} :is(.tag, .eqn-num, mjx-mtr > mjx-mtd[id])").count() == 0


def test_only_mathjax_needs_a_script(book):
    renderer, index = book
    html = index.read_text(encoding="utf8")
    assert ("mathjax/tex-chtml.js" in html) == (renderer == "mathjax")
    assert (index.parent / "_static" / renderer).is_dir()
    assert not list((index.parent / "_static").rglob("katex*.js"))
