"""Print the built site into one PDF, page after page in the order of the table of contents.

Chromium prints each page as a reader's browser would, fold-outs open and figures as pictures;
pypdf joins them, with a bookmark for each page.
"""

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

from pypdf import PdfWriter

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "_build" / "html"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FOOTER = (
    '<div style="font: 8px sans-serif; width: 100%; text-align: center; color: #59636e">'
    '<span class="pageNumber"></span></div>'
)
LOOK_UP = "reference/"
"""Pages for looking up, which a printed book can do without."""


def pages() -> list[str]:
    """Pages of the book in their order, without the reference."""
    toc = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    names = re.findall(r"^\s*(?:- )?(?:root|file): (\S+)$", toc, re.MULTILINE)
    return [name for name in names if not name.startswith(LOOK_UP)]


def print_page(browser, page: Path, target: Path) -> str:
    """Print one page; its title."""
    tab = browser.new_page(color_scheme="light", reduced_motion="reduce")
    tab.goto(page.as_uri(), wait_until="load")
    tab.evaluate("document.fonts.ready")
    title = tab.locator("article h1").first.inner_text().replace("\n", " ").rstrip("# ")
    tab.pdf(
        path=target,
        format="A4",
        tagged=True,
        outline=True,
        display_header_footer=True,
        header_template="<span></span>",
        footer_template=FOOTER,
        margin=dict.fromkeys(("top", "bottom", "left", "right"), "18mm"),
    )
    tab.close()
    return title


def book(browser, site: Path, target: Path, names: list[str]) -> None:
    """Print pages of a site into one file, which is whole or not there."""
    writer = PdfWriter()
    with tempfile.TemporaryDirectory() as folder:
        for number, name in enumerate(names):
            printed = Path(folder) / f"{number}.pdf"
            title = print_page(browser, site / f"{name}.html", printed)
            writer.append(printed, outline_item=title, import_outline=False)
    writer.add_metadata(
        {"/Title": "Paying Attention", "/Author": "The authors of Paying Attention"}
    )
    part = target.with_suffix(".part")
    with part.open("wb") as file:
        writer.write(file)
    part.replace(target)


def main() -> None:
    from playwright.sync_api import sync_playwright

    if not (SITE / "index.html").exists():
        sys.exit("There is no site yet: make book")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        sys.exit(f"No browser: none of {', '.join(BROWSERS)} is installed; CHROMIUM is not set")
    sys.path.insert(0, str(ROOT / "tools"))
    from release import version

    made = SITE.parent / f"paying-attention-{version()}.pdf"
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        book(browser, SITE, made, pages())
        browser.close()
    print(f"{made}: {made.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
