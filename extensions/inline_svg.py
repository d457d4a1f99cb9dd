"""Pictures become part of the page, so that they follow its theme.

Every SVG (drawn by hand or by a cell) is written into the page. Colours of the palette
become its CSS variables, ids become unique on the page, text takes the book's font, and
the picture's alternative text becomes its accessible name.
"""

import re
from pathlib import Path
from xml.etree import ElementTree

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging

from extensions import palette_css

logger = logging.getLogger(__name__)

SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"
ElementTree.register_namespace("", SVG)

# matplotlib's only style rule; inside a page it would hold for every picture on it
MATPLOTLIB_RULE = re.compile(r"\*\s*\{\s*stroke-linejoin:\s*round;\s*stroke-linecap:\s*butt;?\s*\}")
FONT = re.compile(r"font:\s*([^;]*?[\d.]+px)[^;]*")
FONT_FAMILY = re.compile(r"font-family:\s*[^;]*")
URL = re.compile(r"url\(#([^)]+)\)")
HEX = re.compile(r"#[0-9a-f]{6}\b", re.IGNORECASE)
DROPPED = {f"{{{SVG}}}metadata", f"{{{SVG}}}style"}
PX_PER_UNIT = {"": 1, "px": 1, "pt": 4 / 3}


def theme_colours() -> dict[str, str]:
    """Light colour of the palette -> the CSS variable that takes its place."""
    colours = {
        both["light"].lower(): f"var({palette_css.variable(name)})"
        for name, both in palette_css.read().items()
    }
    # what a drawing says when it says nothing
    return {"#000000": "var(--pa-ink)"} | colours


def width_in_px(length: str | None) -> int | None:
    """Width of a picture in CSS pixels; None where it is relative or not given.

    >>> width_in_px("460.8pt")
    614
    """
    match = re.fullmatch(r"([\d.]+)(px|pt)?", length or "")
    return round(float(match[1]) * PX_PER_UNIT[match[2] or ""]) if match else None


def inline(svg: str, *, prefix: str, label: str) -> str:
    """The picture as HTML that follows the page's theme.

    ``prefix`` makes its ids unique on the page; ``label`` is its accessible name, and a
    picture with an empty one is hidden from assistive tools as mere decoration.
    Raises ``ValueError`` for a style sheet inside the picture: its rules would reach
    the whole page.
    """
    root = ElementTree.fromstring(svg)
    refuse_style_sheets(root)
    colours = theme_colours()
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in DROPPED:
                parent.remove(child)
    for element in root.iter():
        element.attrib = {
            name.replace(f"{{{XLINK}}}", ""): rewrite(name, value, prefix, colours)
            for name, value in element.attrib.items()
            if not name.startswith("{http://www.w3.org/XML/")
        }
    frame(root, label)
    return ElementTree.tostring(root, encoding="unicode")


def refuse_style_sheets(root: ElementTree.Element) -> None:
    """Raise ``ValueError`` if the picture holds CSS rules other than matplotlib's one."""
    for style in root.iter(f"{{{SVG}}}style"):
        rest = MATPLOTLIB_RULE.sub("", style.text or "").strip()
        if rest:
            raise ValueError(f"svg: a style sheet would reach the whole page: {rest[:60]!r}")


def rewrite(name: str, value: str, prefix: str, colours: dict[str, str]) -> str:
    """One attribute's value: unique ids, the palette's variables, the book's font."""
    if name == "id":
        return prefix + value
    if name.endswith("href") and value.startswith("#"):
        return "#" + prefix + value[1:]
    if name in ("aria-labelledby", "aria-describedby"):
        return " ".join(prefix + part for part in value.split())
    value = URL.sub(rf"url(#{prefix}\1)", value)
    if name == "style":
        value = FONT.sub(r"font: \1 var(--pa-figure-font)", value)
        value = FONT_FAMILY.sub("font-family: var(--pa-figure-font)", value)
    if name in ("style", "fill", "stroke", "stop-color", "color"):
        value = HEX.sub(lambda match: colours.get(match[0].lower(), match[0]), value)
    return value


def frame(root: ElementTree.Element, label: str) -> None:
    """Set what the page needs of the outermost element: name, size, defaults."""
    view_box = root.get("viewBox", "").split()
    width = width_in_px(root.get("width")) or (view_box and width_in_px(view_box[2]))
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.set("class", f"picture {root.get('class', '')}".strip())
    if width:  # the style sheet shrinks a picture to the page, and never blows it up
        root.set("style", f"--width: {width}px")
    if label:
        root.set("role", "img")
        root.set("aria-label", label)
    else:
        root.set("aria-hidden", "true")


SHORTEST = 40
"""Characters of an alternative text: fewer can name a picture, and not say what it shows."""


def fault_of_alt(alt: str) -> str | None:
    """Why a text cannot stand for a picture, or None where it can.

    >>> fault_of_alt("Figure of the loss")
    "got 'Figure of the loss'; expected its finding, in a sentence of 40 characters or more"
    """
    text = " ".join(alt.split())
    if len(text) < SHORTEST or re.match(r"(?i)(?:a |an |the )?(?:figure|image|picture) of ", text):
        return f"got {text!r}; expected its finding, in a sentence of {SHORTEST} characters or more"
    return None


class InlinePictures(SphinxPostTransform):
    """Replace each image node of an SVG file by the picture itself."""

    formats = ("html",)
    # before Sphinx looks for formats that the builder cannot show
    default_priority = 5

    def run(self, **kwargs) -> None:
        for image in self.document.findall(nodes.image):
            fault = fault_of_alt(image.get("alt", ""))
            if fault and "decoration" not in image["classes"]:
                logger.warning("alt of %s: %s", image["uri"], fault, location=image)
        images = [n for n in self.document.findall(nodes.image) if n["uri"].endswith(".svg")]
        for number, image in enumerate(images, start=1):
            path = Path(self.app.srcdir) / image["uri"]
            if not path.exists():
                continue  # Sphinx has warned
            decoration = "decoration" in image["classes"]
            label = " ".join(image.get("alt", "").split())
            try:
                svg = inline(
                    path.read_text(encoding="utf8"),
                    prefix=f"picture-{number}-",
                    label="" if decoration else label,
                )
            except ValueError as error:
                logger.warning("%s: %s", image["uri"], error, location=image)
                continue
            # a span may stand in a paragraph too, where a picture may stand
            box = nodes.raw("", f'<span class="scroll-box">{svg}</span>', format="html")
            box["classes"] += image["classes"]
            box["uri"], box["alt"] = image["uri"], "" if decoration else label  # for notebooks
            image.replace_self(box)


def setup(app: Sphinx) -> dict:
    app.add_post_transform(InlinePictures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
