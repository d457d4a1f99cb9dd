"""Descriptions come from the page; the map of the site holds what is to be found."""

from docutils import nodes
from docutils.utils import new_document

from extensions import discovery


def page(*children):
    tree = new_document("page")
    tree += [*children]
    return tree


def test_a_page_says_what_it_is():
    told = nodes.meta("", name="description", content="What it is.")
    text = nodes.paragraph("", "Its first words.")
    assert discovery.description(page(told, text), 200) == "What it is."
    assert discovery.description(page(text), 200) == "Its first words."


def test_the_map_escapes_what_it_must():
    text = discovery.site_map("https://a.io/?a&", ["index", "chapters/x"])
    assert text.count("<url>") == 2
    assert "https://a.io/?a&amp;chapters/x.html" in text
