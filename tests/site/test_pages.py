"""Every page, in a real browser: alone in the world, in both themes, narrow, without scripts."""

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PHONE = 390  # CSS pixels

KB = 1000
BUDGET = {False: 600 * KB, True: 1200 * KB}
"""Bytes of a first visit, compressed, by whether the page holds an explorable."""
CONTRAST = 7
"""Of body text against its ground; WCAG asks 4.5, and AAA asks this."""


@pytest.fixture
def html(site, page_name):
    return (site / page_name).read_text(encoding="utf8")


@pytest.mark.parametrize("from_disk", [False, True], ids=["http", "file"])
def test_asks_nobody_else_and_complains_of_nothing(visit, site, address, page_name, from_disk):
    url = (site / page_name).as_uri() if from_disk else f"{address}/{page_name}"
    page, log = visit(url)
    assert log.foreign == []
    assert log.failed == []
    assert log.violations == []
    assert log.complaints == []
    assert page.title()


def test_weighs_no_more_than_its_budget(visit, address, page_name, html):
    _, log = visit(f"{address}/{page_name}")
    assert sum(log.weights.values()) <= BUDGET["data-explorable=" in html], sorted(
        log.weights.items(), key=lambda item: -item[1]
    )


def test_a_phone_needs_no_sideways_scroll(visit, address, page_name):
    page, _ = visit(f"{address}/{page_name}", width=PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE


BROKEN_NUMBERS = """
() => [...document.querySelectorAll("table .stored-number")].map(number => {
  const range = document.createRange(), words = [];
  for (const node of number.childNodes)
    if (node.nodeType === Node.TEXT_NODE)
      for (const word of node.data.matchAll(/\\S+/g)) {
        range.setStart(node, word.index);
        range.setEnd(node, word.index + word[0].length);
        const lines = new Set([...range.getClientRects()].map(box => Math.round(box.top)));
        if (lines.size > 1) words.push(word[0]);
      }
  return words;
}).flat()
"""
"""The measured numbers in tables that go over two lines."""


def test_a_phone_breaks_no_number_of_a_table(visit, address, page_name, html):
    if "<table" not in html or "stored-number" not in html:
        pytest.skip("no measured number in a table")
    page, _ = visit(f"{address}/{page_name}", width=PHONE)
    assert page.evaluate(BROKEN_NUMBERS) == []


def luminance(colour: str) -> float:
    """Relative luminance of ``rgb(r, g, b)``, as WCAG 2 defines it."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_both_themes(visit, address, page_name, scheme):
    page, _ = visit(f"{address}/{page_name}", scheme=scheme)
    ink, paper = page.evaluate(
        "[getComputedStyle(document.querySelector('article.bd-article') ?? document.body).color,"
        " getComputedStyle(document.body).backgroundColor]"
    )
    dark, light = sorted([luminance(ink), luminance(paper)])
    assert (light + 0.05) / (dark + 0.05) >= CONTRAST
    assert (luminance(paper) < 0.5) == (scheme == "dark")


def test_without_scripts_everything_is_still_there(visit, address, page_name, html):
    page, _ = visit(f"{address}/{page_name}", javascript=False)
    article = page.locator("article.bd-article")
    if page_name in ("search.html", "genindex.html"):
        return  # lists that a script or nobody fills
    assert len(article.inner_text().split()) > 50
    for picture in article.locator("svg.picture").all():
        box = picture.bounding_box()
        assert box is not None and box["width"] > 100 and box["height"] > 20
    figures = article.locator("figure[data-explorable]").all()
    assert len(figures) == len(re.findall(r"<figure[^>]*\sdata-explorable=", html))
    for figure in figures:
        assert figure.locator(".explorable-fallback svg").first.is_visible()
        assert figure.locator(".explorable-findings").inner_text().strip()
        assert figure.locator(".explorable-data a").is_visible()
        assert figure.locator("button, input, select").count() == 0  # no dead control
    assert article.locator("span.math:not(:has(.katex-html))").count() == 0 or "mathjax" in html


def test_every_picture_has_a_name(html):
    for svg in re.findall(r"<svg[^>]*>", html):
        if "picture" in svg:
            assert re.search(r'aria-label="[^"]{20,}"|aria-hidden="true"', svg), svg
    for image in re.findall(r"<img[^>]*>", html):
        assert " alt=" in image, image


def test_ids_are_unique(html):
    ids = re.findall(r'<[a-zA-Z][^>]*\sid="([^"]+)"', html)
    assert sorted({name for name in ids if ids.count(name) > 1}) == []


def test_the_icon_fonts_hold_every_icon_that_is_shown(visit, address, page_name):
    """Icons are letters of a font that was cut down; a missing one would be an empty box."""
    page, _ = visit(f"{address}/{page_name}", awake=False)
    shown = page.evaluate(
        """() => {
          const shown = [];
          for (const element of document.querySelectorAll("*"))
            for (const side of ["::before", "::after"]) {
              const { content, fontFamily, fontWeight } = getComputedStyle(element, side);
              if (content.startsWith('"') && fontFamily.includes("Font Awesome"))
                shown.push([fontFamily, fontWeight, content.slice(1, -1)]);
            }
          return shown;
        }"""
    )
    assert shown
    for family, weight, icon in shown:
        style = "brands" if "Brands" in family else {"900": "solid", "400": "regular"}[weight]
        assert set(icon) <= kept_icons()[style], f"{style} {[hex(ord(c)) for c in icon]}"


@cache
def kept_icons() -> dict[str, set[str]]:
    """The icons that the vendored fonts were cut down to, as their README lists them."""
    readme = (ROOT / "extensions/vendor/README.md").read_text(encoding="utf8")
    solid = re.search(r"^SOLID is `([^`]+)`", readme, re.MULTILINE)[1]
    lists = {"solid": solid} | {
        style: re.search(rf"fa-{style}-\d+.woff2 .*--unicodes=(\S+)", readme)[1]
        for style in ("regular", "brands")
    }
    return {style: {chr(int(c, 16)) for c in codes.split(",")} for style, codes in lists.items()}
