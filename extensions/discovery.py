"""What search engines and messengers ask of a site: one address a page, a card, a map.

The addresses follow from the repository's; see ``extensions.address``. Descriptions and cards
come from sphinxext-opengraph. The map is written here: the usual extension asks git for the
dates of the pages, and fails on a copy of the book without git.
"""

from pathlib import Path
from xml.sax.saxutils import escape

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinxext import opengraph

from extensions import address, assets

UNLISTED = ("genindex", "search")
"""Pages that are made for looking up, not for being found."""


first_words = opengraph.get_description


def description(doctree: nodes.document, length: int, titles=frozenset()) -> str:
    """What a page says of itself in its front matter; failing that, its first words."""
    for meta in doctree.findall(nodes.meta):
        if meta.get("name") == "description":
            return meta["content"]
    return first_words(doctree, length, titles)


def configure(app: Sphinx, config: Config) -> None:
    """Let every page know where it will stand."""
    config.html_baseurl = address.site(config)
    config.ogp_site_url = config.html_baseurl
    opengraph.get_description = description  # it knows no other way to say it once


def site_map(site: str, pages: list[str]) -> str:
    """The addresses of the pages, as sitemaps.org describes it.

    >>> print(site_map("https://a.io/", ["index"]).splitlines()[2])
    <url><loc>https://a.io/index.html</loc></url>
    """
    rows = "\n".join(f"<url><loc>{escape(site + page)}.html</loc></url>" for page in pages)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{rows}\n</urlset>\n'
    )


def finish(app: Sphinx, exception: Exception | None) -> None:
    """Write the map of the site, and say in ``robots.txt`` where it is."""
    if exception or not assets.is_site(app):
        return
    site = address.site(app.config)
    pages = sorted(set(app.env.found_docs) - set(UNLISTED))
    out = Path(app.outdir)
    (out / "sitemap.xml").write_text(site_map(site, pages), encoding="utf8")
    (out / "robots.txt").write_text(
        f"User-agent: *\nAllow: /\nSitemap: {site}sitemap.xml\n", encoding="utf8"
    )


def setup(app: Sphinx) -> dict:
    app.setup_extension("sphinxext.opengraph")
    app.connect("config-inited", configure)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
