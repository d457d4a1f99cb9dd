"""Which explorables a page holds is read from its HTML."""

import io
from types import SimpleNamespace

import pytest
from sphinx.application import Sphinx

from extensions import assets, explorable_figures


@pytest.mark.parametrize(
    ("html", "names"),
    [
        ("<p>None.</p>", []),
        ('<figure class="explorable" data-explorable="fading">', ["fading"]),
        (
            '<figure data-explorable="b"><figure data-explorable="a"><figure data-explorable="b">',
            ["b", "a"],
        ),
        ('<code>data-explorable="quoted"</code>', []),
    ],
)
def test_names_in_a_page(html, names):
    assert explorable_figures.names_in(html) == names


def test_the_loader_has_a_place_for_the_versions():
    """Without it a browser would keep an old figure beside a new page."""
    loader = (assets.FACE / "explorables-loader.js").read_text(encoding="utf8")
    assert loader.count(explorable_figures.VERSIONS) == 1


@pytest.mark.parametrize("forbidden", ["import(", "fetch(", "eval(", "blob:", "innerHTML"])
def test_the_loader_runs_from_a_disk_and_under_a_strict_policy(forbidden):
    assert forbidden not in (assets.FACE / "explorables-loader.js").read_text(encoding="utf8")


@pytest.mark.parametrize(
    ("body", "linked", "written"),
    [
        ("<p>None.</p>", [], []),
        ('<figure data-explorable="fading">', ["loader.js"], []),
        ('<figure data-explorable="writer">', ["loader.js"], ["gpt-1/0.js", "gpt-1/1.js"]),
    ],
)
def test_weights_are_written_where_a_page_may_ask_and_linked_nowhere(
    body, linked, written, monkeypatch, tmp_path
):
    scripts = {"gpt-1/0.js": "0", "gpt-1/1.js": "1"}
    monkeypatch.setitem(explorable_figures.WEIGHTS, "writer", lambda: scripts)
    asked = []
    app = SimpleNamespace(
        outdir=tmp_path,
        add_js_file=lambda path, **_: asked.append(path),
        add_css_file=lambda path: None,
    )
    explorable_figures.link(app, "page", "page.html", {"body": body}, None)
    assert asked == [f"explorables/{name}" for name in linked]
    folder = tmp_path / "_static" / "explorables"
    found = {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*.js")}
    assert found == {path: scripts[path] for path in written}


@pytest.mark.parametrize(
    ("directive", "small", "warned"),
    [
        ("```{explorable} Bill\n:small:\n```", "true", False),
        ("```{explorable} Bill\n```", "false", False),
        ("```{explorable} Bull\n```", None, True),
    ],
)
def test_a_page_without_cells_holds_a_figure(directive, small, warned, tmp_path):
    (tmp_path / "conf.py").write_text(
        "extensions = ['myst_nb', 'extensions.explorable_figures']\nhtml_theme = 'basic'\n"
        "exclude_patterns = ['_build']\n"
    )
    (tmp_path / "index.md").write_text(f"# Cover\n\n{directive}\n", encoding="utf8")
    build, warnings = tmp_path / "_build", io.StringIO()
    Sphinx(
        tmp_path, tmp_path, build, build / "trees", "html", status=None, warning=warnings
    ).build()
    page = (build / "index.html").read_text(encoding="utf8")
    assert explorable_figures.names_in(page) == ([] if warned else ["bill"])
    assert ("expected one of AttentionMap, Between" in warnings.getvalue()) == warned
    assert ("explorables/loader.js" in page) == (not warned)
    if small:
        assert f'"small": {small}' in page and (build / "_static/explorables/bill.js").exists()
