"""Draw the chapters' SVGs as PNGs for their notebooks: few notebook front ends show an SVG.

Needs Chromium, which draws them as the site does, light, at twice their size. Each PNG lies
beside its SVG and carries its hash, so that a test can say when one is stale.
"""

import base64
import hashlib
import io
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = ROOT / "chapters"
PICTURE = re.compile(r"\{(?:image|figure)\}\s+(figures/[\w-]+\.svg)")
FONT_FACE = re.compile(r'@font-face \{[^}]*"Source Sans 3"[^}]*\}')
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
SCALE = 2
ALWAYS = ("figures/mark.svg",)  # on the cards that messengers show


def wanted(chapters: Path = CHAPTERS) -> list[Path]:
    """The SVGs that stand in a chapter with cells, and the book's mark."""
    found = {chapters / name for name in ALWAYS if (chapters / name).exists()}
    for page in chapters.glob("*.md"):
        text = page.read_text(encoding="utf-8")
        if "\njupytext:" in text[:200]:
            found |= {chapters / name for name in PICTURE.findall(text)}
    return sorted(found)


def digest(svg: Path) -> str:
    """What a PNG carries of its SVG: SHA-256 of the text."""
    return hashlib.sha256(svg.read_text(encoding="utf-8").encode()).hexdigest()


def is_current(svg: Path) -> bool:
    """Whether the PNG beside an SVG was drawn from it."""
    png = svg.with_suffix(".png")
    if not png.exists():
        return False
    with Image.open(png) as picture:
        return picture.info.get("svg") == digest(svg)


def inlined(font: re.Match) -> str:
    """A font file inside its rule: from a disk, a browser may refuse to load it."""
    data = (ROOT / "extensions/vendor/fonts" / font[1]).read_bytes()
    return f'url("data:font/woff2;base64,{base64.b64encode(data).decode()}")'


def page_of(svg: Path) -> str:
    """A page that shows the picture alone, in the book's fonts and light colours."""
    sys.path.insert(0, str(ROOT))
    from extensions import inline_svg, palette_css

    face = (ROOT / "extensions/face/book.css").read_text(encoding="utf-8")
    faces = re.sub(r'url\("fonts/([^"]+)"\)', inlined, "".join(FONT_FACE.findall(face)))
    picture = inline_svg.inline(svg.read_text(encoding="utf-8"), prefix="p-", label="")
    palette = palette_css.style_sheet(palette_css.read())
    return (
        f"<meta charset=utf-8><style>{faces}{palette} body {{ margin: 0 }}"
        ":root { --pa-figure-font: 'Source Sans 3' }"
        "svg { display: block; width: var(--width); font-family: 'Source Sans 3' }"
        f"</style>{picture}"
    )


def draw(pictures: list[Path]) -> None:
    """Write the PNG of each picture."""
    from playwright.sync_api import sync_playwright

    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        sys.exit(f"No browser: none of {', '.join(BROWSERS)} is installed; CHROMIUM is not set")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        shown = Path(folder) / "picture.html"
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(device_scale_factor=SCALE)
        for svg in pictures:
            shown.write_text(page_of(svg), encoding="utf-8")
            page.goto(shown.as_uri())
            page.evaluate("document.fonts.ready")
            write(svg, page.locator("svg").screenshot(type="png"))
        browser.close()


def write(svg: Path, screenshot: bytes) -> None:
    """Store a screenshot with few colours, and with the hash of its SVG."""
    picture = Image.open(io.BytesIO(screenshot)).convert("RGB").quantize(128)
    about = PngInfo()
    about.add_text("svg", digest(svg))
    target = svg.with_suffix(".png")
    part = target.with_suffix(".part")
    picture.save(part, format="PNG", optimize=True, pnginfo=about)
    part.replace(target)
    print(f"{target.name}: {target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    draw([svg for svg in wanted() if not is_current(svg)])
