"""KaTeX in one node process, and the choice between the two ways."""

import shutil

import pytest

from extensions import mathematics

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


@pytest.fixture
def katex():
    renderer = mathematics.Katex()
    yield renderer
    renderer.close()


@needs_node
def test_formulas_are_written_in_the_order_of_asking(katex):
    for tex in ("n^2", r"\frac{1}{2}", "ü", "a\nb"):
        html = katex.render(tex, display=False)
        assert f'<annotation encoding="application/x-tex">{tex}</annotation>' in html


@needs_node
def test_display_is_on_a_line_of_its_own(katex):
    assert "katex-display" in katex.render("x", display=True)
    assert "katex-display" not in katex.render("x", display=False)


@needs_node
def test_what_latex_would_refuse_is_an_error_and_the_next_formula_is_not(katex):
    with pytest.raises(ValueError, match="Undefined control sequence"):
        katex.render(r"\nosuchthing", display=False)
    assert "katex" in katex.render("x", display=False)


@needs_node
def test_a_dead_node_is_reported(katex):
    from sphinx.errors import ExtensionError

    katex.render("x", display=False)
    katex.process.kill()
    katex.process.wait()
    with pytest.raises(ExtensionError, match="node stopped"):
        katex.render("y", display=False)


@pytest.mark.parametrize(
    ("tex", "unnumbered"),
    [
        (r"\begin{align}a\end{align}", r"\begin{align*}a\end{align*}"),
        (r"\begin{align*}a\end{align*}", r"\begin{align*}a\end{align*}"),
        (r"\begin{aligned}a\end{aligned}", r"\begin{aligned}a\end{aligned}"),
    ],
)
def test_sphinx_alone_numbers_formulas(tex, unnumbered):
    assert mathematics.NUMBERED.sub(r"\\\1{\2*}", tex) == unnumbered


def test_without_node_the_browser_draws(monkeypatch):
    monkeypatch.delenv("PAYATTENTION_MATHJAX", raising=False)
    monkeypatch.setattr(mathematics.shutil, "which", lambda name: None)
    assert not mathematics.prerenders()
    monkeypatch.setattr(mathematics.shutil, "which", lambda name: f"/bin/{name}")
    assert mathematics.prerenders()
    monkeypatch.setenv("PAYATTENTION_MATHJAX", "1")
    assert not mathematics.prerenders()
