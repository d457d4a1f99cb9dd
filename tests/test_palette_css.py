"""The palette: variables for both themes, and contrast that a reader can see."""

import re
from itertools import combinations

import pytest

from extensions import palette_css

PALETTE = palette_css.read()
GROUND = ("paper", "grid")
INKS = [name for name in PALETTE if name not in GROUND]


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    dark, light = sorted([luminance(one), luminance(other)])
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", palette_css.THEMES)
@pytest.mark.parametrize("name", INKS)
def test_every_idea_can_be_written_on_the_page(name, theme):
    """4.5 is what WCAG AA asks of text: labels are written in their idea's colour."""
    assert contrast(PALETTE[name][theme], PALETTE["paper"][theme]) >= 4.5


def test_no_two_ideas_share_a_colour():
    for one, other in combinations(PALETTE, 2):
        for theme in palette_css.THEMES:
            assert PALETTE[one][theme] != PALETTE[other][theme]


def test_style_sheet_sets_every_variable_in_both_themes():
    light, dark = palette_css.style_sheet(PALETTE).split('html[data-theme="dark"]')
    for name, both in PALETTE.items():
        assert f"{palette_css.variable(name)}: {both['light']};" in light
        assert f"{palette_css.variable(name)}: {both['dark']};" in dark


def test_every_variable_that_the_book_uses_is_set():
    from extensions import assets

    css = (assets.FACE / "book.css").read_text(encoding="utf8")
    own = set(re.findall(r"(--pa-[\w-]+):", css))
    used = set(re.findall(r"var\((--pa-[\w-]+)", css))
    assert used <= own | {palette_css.variable(name) for name in PALETTE}
