"""What a reader does with the site: follows links, searches, changes the theme, prints."""

import re
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest


class Page(HTMLParser):
    """The links of a page and the places on it that a link may lead to."""

    def __init__(self, html):
        super().__init__()
        self.links, self.places = [], {""}
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.places |= {attributes.get("id"), attributes.get("name")}
        if tag == "a" and attributes.get("href"):
            self.links.append(attributes["href"])


@pytest.fixture(scope="module")
def pages(site):
    """Every page, read once."""
    return {
        path.resolve(): Page(path.read_text(encoding="utf8"))
        for path in site.rglob("*.html")
        if "_static" not in path.parts
    }


def test_no_link_within_the_book_leads_nowhere(site, pages):
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            places = pages[target].places if target in pages else {unquote(parts.fragment)}
            if not target.is_file() or unquote(parts.fragment) not in places:
                broken.append(f"{path.name}: {link}")
    assert broken == []


def test_search_finds_the_cover_by_its_words(visit, address):
    page, log = visit(f"{address}/search.html?q=Transformers")
    page.wait_for_selector("#search-results li a")
    assert page.locator("#search-results li a").count() >= 1
    assert log.foreign == []


def test_the_theme_button_changes_the_page_and_is_remembered(visit, address):
    page, _ = visit(f"{address}/index.html", scheme="light")
    paper = "getComputedStyle(document.body).backgroundColor"
    ink = "getComputedStyle(document.querySelector('svg.picture')).fill"
    before = page.evaluate(f"[{paper}, {ink}]")
    button = page.locator("button.theme-switch-button").first
    for _ in range(3):  # auto, light, dark
        if page.evaluate("document.documentElement.dataset.theme") == "dark":
            break
        button.click()
    after = page.evaluate(f"[{paper}, {ink}]")
    assert before[0] != after[0]
    assert before[1] != after[1]
    page.reload()
    assert page.evaluate(paper) == after[0]


def test_on_paper_fold_outs_are_open_and_figures_are_pictures(visit, address, page_name):
    page, _ = visit(f"{address}/{page_name}")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.locator("article details:not([open])").count() == 0
    assert page.locator(".explorable-live:visible").count() == 0
    for fallback in page.locator(".explorable-fallback").all():
        assert fallback.is_visible()
    for beside in (".bd-sidebar-primary", ".bd-header-article"):
        assert page.locator(f"{beside}:visible").count() == 0


def test_wide_boxes_can_be_reached_by_keyboard(visit, address, page_name):
    page, _ = visit(f"{address}/{page_name}", width=390)
    unreachable = page.evaluate(
        """() => [...document.querySelectorAll("article *")].filter((box) =>
          box.scrollWidth > box.clientWidth + 1 && box.clientWidth > 0 &&
          /auto|scroll/.test(getComputedStyle(box).overflowX) &&
          box.tabIndex < 0 && !box.querySelector("a, button, input, select, [tabindex]")
        ).map((box) => box.outerHTML.slice(0, 120))"""
    )
    assert unreachable == []


def test_every_page_names_itself(pages, site):
    for path in pages:
        html = path.read_text(encoding="utf8")
        assert re.search(r"<title>[^<]*Paying Attention</title>", html), path.name
        assert '<html lang="en"' in html
        assert 'name="viewport"' in html
