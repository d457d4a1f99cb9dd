"""Which explorables a page holds is read from its HTML."""

import pytest

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
