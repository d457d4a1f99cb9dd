"""The palette as CSS variables: ``feed_forward`` becomes ``--pa-feed-forward``."""

import json

from sphinx.application import Sphinx

from extensions import assets

PALETTE = assets.ROOT / "src" / "payattention" / "palette.json"
THEMES = ("light", "dark")


def read() -> dict[str, dict[str, str]]:
    """Name of an idea -> its colour in each theme, as written in ``palette.json``."""
    return json.loads(PALETTE.read_text(encoding="utf8"))


def variable(name: str) -> str:
    """The CSS variable of a palette name.

    >>> variable("feed_forward")
    '--pa-feed-forward'
    """
    return "--pa-" + name.replace("_", "-")


def style_sheet(palette: dict[str, dict[str, str]]) -> str:
    """CSS that sets every variable for both themes; without JavaScript the page is light."""
    rules = []
    for theme, selector in zip(THEMES, (":root", 'html[data-theme="dark"]'), strict=True):
        colours = "".join(f"  {variable(name)}: {c[theme]};\n" for name, c in palette.items())
        rules.append(f"{selector} {{\n{colours}}}\n")
    return "".join(rules)


def add_palette(app: Sphinx) -> None:
    if assets.is_site(app):
        assets.write(app, "palette.css", style_sheet(read()))
        app.add_css_file("palette.css")


def setup(app: Sphinx) -> dict:
    app.connect("builder-inited", add_palette)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
