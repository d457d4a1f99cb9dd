"""Pictures in the page: unique ids, the palette's variables, one name, no rules of their own."""

import io
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from sphinx.application import Sphinx

from extensions import inline_svg, palette_css

ROOT = Path(__file__).resolve().parents[1]
DRAWING = """<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"
     width="72pt" height="36pt" viewBox="0 0 72 36">
  <metadata>who and when</metadata>
  <defs><clipPath id="clip"><path id="edge" d="M0 0"/></clipPath>
    <style type="text/css">*{stroke-linejoin: round; stroke-linecap: butt}</style></defs>
  <g clip-path="url(#clip)"><use xlink:href="#edge" style="stroke: #C4500A; fill: #123456"/></g>
  <text style="font: 10px 'DejaVu Sans', sans-serif; text-anchor: middle">label</text>
</svg>"""


def inlined(svg=DRAWING, *, prefix="p-", label="A finding."):
    return inline_svg.inline(svg, prefix=prefix, label=label)


def test_every_reference_still_finds_its_target():
    root = ElementTree.fromstring(inlined())
    ids = {element.get("id") for element in root.iter()} - {None}
    text = inlined()
    targets = set(re.findall(r'href="#([^"]+)"', text)) | set(re.findall(r"url\(#([^)]+)\)", text))
    assert ids == targets == {"p-clip", "p-edge"}


def test_two_pictures_share_no_id():
    first, second = (set(re.findall(r'id="([^"]+)"', inlined(prefix=p))) for p in ("a-", "b-"))
    assert first
    assert not first & second


def test_palette_colours_follow_the_theme_and_others_stay():
    style = ElementTree.fromstring(inlined()).find(".//{*}use").get("style")
    assert style == "stroke: var(--pa-attention); fill: #123456"


@pytest.mark.parametrize("name", palette_css.read())
def test_every_colour_of_the_palette_is_known(name):
    light = palette_css.read()[name]["light"]
    svg = f'<svg xmlns="http://www.w3.org/2000/svg"><path fill="{light.upper()}"/></svg>'
    assert f'fill="var(--pa-{name.replace("_", "-")})"' in inlined(svg)


def test_text_takes_the_books_font_and_keeps_its_size():
    style = ElementTree.fromstring(inlined()).find(".//{*}text").get("style")
    assert style == "font: 10px var(--pa-figure-font); text-anchor: middle"


def test_the_name_is_the_alternative_text_escaped():
    root = ElementTree.fromstring(inlined(label='Loss < 2 & "flat"'))
    assert (root.get("role"), root.get("aria-label")) == ("img", 'Loss < 2 & "flat"')
    decoration = ElementTree.fromstring(inlined(label=""))
    assert decoration.get("aria-hidden") == "true"
    assert decoration.get("role") is None


def test_nothing_is_left_that_reaches_beyond_the_picture():
    text = inlined()
    assert "<style" not in text
    assert "metadata" not in text
    assert "xlink" not in text
    assert "<?xml" not in text


def test_a_style_sheet_of_ones_own_is_refused():
    svg = '<svg xmlns="http://www.w3.org/2000/svg"><style>path { fill: red }</style></svg>'
    with pytest.raises(ValueError, match="style sheet would reach the whole page"):
        inlined(svg)


@pytest.mark.parametrize(
    ("size", "width"),
    [
        ('width="72pt" viewBox="0 0 9 9"', "96px"),  # 72 points are an inch are 96 pixels
        ('width="50" viewBox="0 0 9 9"', "50px"),
        ('viewBox="0 0 320 190"', "320px"),
        ('width="100%" viewBox="0 0 320 190"', "320px"),
    ],
)
def test_a_picture_is_never_blown_up_beyond_its_own_width(size, width):
    root = ElementTree.fromstring(inlined(f'<svg xmlns="http://www.w3.org/2000/svg" {size}/>'))
    assert root.get("style") == f"--width: {width}"
    assert root.get("width") is None


def test_matplotlib_pictures_are_read():
    """Our own figures come from matplotlib: its one rule must be known, its ids found."""
    plt = pytest.importorskip("matplotlib.pyplot")
    import io

    file = io.StringIO()
    with plt.rc_context({"svg.fonttype": "none"}):
        figure, axis = plt.subplots()
        axis.plot([0, 1], color="#0072b2")
        figure.savefig(file, format="svg")
        plt.close(figure)
    text = inlined(file.getvalue())
    assert "var(--pa-recurrence)" in text
    assert "DejaVu" not in text
    assert set(re.findall(r"url\(#([^)]+)\)", text)) <= set(re.findall(r'id="([^"]+)"', text))


@pytest.mark.parametrize(
    "alt",
    [
        "",
        "loss.png",
        "Figure of how the loss falls with the number of tokens",
        "Loss against tokens.",
    ],
)
def test_a_text_that_does_not_say_the_finding_is_refused(alt):
    assert inline_svg.fault_of_alt(alt).startswith(f"got {alt!r}; expected its finding")


def test_a_sentence_that_says_it_is_enough():
    assert inline_svg.fault_of_alt("The loss falls along a straight line up to 64 tokens.") is None


def test_a_build_refuses_a_figure_of_a_cell_without_its_text(tmp_path):
    """A page whose cell draws: with a text it builds, without one it does not."""
    page = (ROOT / "tests" / "page_with_a_figure.md").read_text(encoding="utf8")
    (tmp_path / "conf.py").write_text(
        "extensions = ['myst_nb', 'extensions.inline_svg']\nhtml_theme = 'basic'\n"
        "nb_execution_mode = 'force'\nexclude_patterns = ['_build']\n"
    )
    told = []
    for name, text in (("with", page), ("without", page.replace("alt:", "name:"))):
        (tmp_path / "index.md").write_text(text, encoding="utf8")
        build, warnings = tmp_path / "_build" / name, io.StringIO()
        folders = (tmp_path, tmp_path, build, build / "trees", "html")
        Sphinx(*folders, status=None, warning=warnings).build()
        told.append("expected its finding" in warnings.getvalue())
    assert told == [False, True]
