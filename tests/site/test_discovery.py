"""What a search engine or a messenger finds on a page."""

import re
from html import unescape
from xml.etree import ElementTree

import pytest

UNLISTED = ("genindex.html", "search.html")


@pytest.fixture
def head(site, page_name):
    if page_name in UNLISTED:
        pytest.skip("a page for looking up, not for being found")
    html = (site / page_name).read_text(encoding="utf8")
    tags = re.findall(r"<meta ([^>]*)>", html)
    pairs = [dict(re.findall(r'([\w:-]+)="([^"]*)"', tag)) for tag in tags]
    metas = {p.get("name") or p.get("property"): unescape(p.get("content", "")) for p in pairs}
    return html, metas


def test_a_page_describes_itself(head, page_name):
    html, meta = head
    assert len(re.findall(r"<title>", html)) == 1
    assert '<html lang="en"' in html
    assert 50 <= len(meta["description"]) <= 160
    assert meta["og:description"] == meta["description"]
    assert meta["og:title"] and meta["og:image:alt"]
    assert meta["og:url"].endswith(page_name)
    assert f'<link rel="canonical" href="{meta["og:url"]}"' in html


def test_its_card_is_there(head, site):
    _, meta = head
    name = meta["og:image"].partition("_images/")[2]
    assert (site / "_images" / name).stat().st_size > 10_000


def test_descriptions_are_all_different(site):
    kept = [p for p in site.rglob("*.html") if p.name not in UNLISTED and "_static" not in p.parts]
    pages = [page.read_text("utf8") for page in kept]
    found = [re.search(r'"og:description" content="([^"]*)"', html) for html in pages]
    texts = [match[1] for match in found if match]
    assert len(texts) == len(found) == len(set(texts))


def test_the_map_lists_every_page(site):
    tree = ElementTree.parse(site / "sitemap.xml")
    listed = [loc.text for loc in tree.iter("{http://www.sitemaps.org/schemas/sitemap/0.9}loc")]
    pages = [
        page.relative_to(site).as_posix()
        for page in site.rglob("*.html")
        if "_static" not in page.parts and page.name not in UNLISTED
    ]
    base = listed[0].partition("chapters/")[0]
    assert sorted(listed) == sorted(base + page for page in pages)
    assert f"Sitemap: {base}sitemap.xml" in (site / "robots.txt").read_text()


def test_the_site_has_a_mark(visit, address):
    page, log = visit(f"{address}/index.html")
    icon = page.locator('link[rel="icon"]').get_attribute("href")
    assert icon.endswith("mark.svg") and log.failed == []
