"""On paper a page is whole: fold-outs open, figures as pictures, nothing cut, and light."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HIDDEN = (".bd-sidebar-primary", ".bd-header-article", "#pst-back-to-top", ".prev-next-footer")
A4 = 794  # CSS pixels


@pytest.fixture
def on_paper(visit, address):
    def open_page(name, scheme="light"):
        page, _ = visit(f"{address}/{name}", scheme=scheme, width=A4)
        page.emulate_media(media="print")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        return page

    return open_page


def test_nothing_is_wider_than_the_paper(on_paper, page_name):
    page = on_paper(page_name)
    wide = page.evaluate(
        """width => [...document.querySelectorAll("article *")]
          .filter(e => e.getBoundingClientRect().right > width + 1 && !e.closest(".katex"))
          .map(e => `${e.tagName} ${e.className} ${e.textContent.slice(0, 40)}`)""",
        A4,
    )
    assert wide == []


def test_only_the_text_is_printed(on_paper, page_name):
    page = on_paper(page_name)
    for selector in HIDDEN:
        assert all(not found.is_visible() for found in page.locator(selector).all()), selector
    assert page.locator("details:not([open])").count() == 0


def test_what_moves_is_printed_as_a_picture(on_paper):
    page = on_paper("chapters/recurrence.html")
    figures = page.locator("figure[data-explorable]").all()
    assert figures
    for figure in figures:
        assert figure.locator(".explorable-fallback svg").first.is_visible()
        assert not figure.locator("button").first.is_visible()


def test_a_dark_page_is_printed_light_and_stays_dark(on_paper):
    page = on_paper("index.html", scheme="dark")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_the_book_is_one_file_with_its_solutions(browser, site, tmp_path):
    pypdf = pytest.importorskip("pypdf")
    spec = importlib.util.spec_from_file_location("pdf", ROOT / "tools" / "pdf.py")
    pdf = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pdf)
    assert pdf.pages()[0] == "index" and "chapters/recurrence" in pdf.pages()
    assert not any(name.startswith("reference/") for name in pdf.pages())
    names = ["index", "chapters/recurrence"]
    pdf.book(browser, site, tmp_path / "book.pdf", names)
    reader = pypdf.PdfReader(tmp_path / "book.pdf")
    assert [mark.title for mark in reader.outline] == [
        "Paying Attention",
        "What a fixed state forgets",
    ]
    text = "".join(page.extract_text() for page in reader.pages)
    assert "The reset gate multiplies" in text  # a solution, which folds out on the page
    assert not list(tmp_path.glob("*.part"))
