"""JavaScript and CSS of the explorables, put together from their sources.

Each figure is one ES module, ``<name>.mjs``, that may import from the shared
``figure.mjs`` and from nothing else. Jupyter and Colab load the module itself;
a static page loads a classic script made from it, because a browser refuses
modules from ``file://``. Both are made by text alone: the sources keep every
``import`` and ``export`` at the start of a line, in the few forms named here.

A script that is not ours stands unchanged in ``vendor/``. The line
``const chart = vendored("chart/chart.js", "window");`` makes a function of it, whose
parameters take the place of what such a script looks for on a page.
"""

import json
import re
from importlib import resources
from importlib.resources.abc import Traversable

_IMPORT = re.compile(r'^import \{[^}]*\} from "\./figure\.mjs";\n', re.MULTILINE)
_DEFAULT = re.compile(r"^export default \{ render \};\n", re.MULTILINE)
_NAMED = re.compile(r"^export (?=(?:async )?(?:function|const|class)\b)", re.MULTILINE)
_EXPORTED = re.compile(r"^export (?:async )?(?:function|const|class) (\w+)", re.MULTILINE)
_VENDORED = re.compile(r'^const (\w+) = vendored\("([\w./]+)"((?:, "\w+")*)\);\n', re.MULTILINE)
_LEFT_OVER = re.compile(r"^(?:import|export)\b.*$", re.MULTILINE)


def _folder() -> Traversable:
    return resources.files("payattention").joinpath("explorables")


def names() -> list[str]:
    """Names of all explorables, in alphabetical order."""
    modules = (path.name for path in _folder().iterdir() if path.name.endswith(".mjs"))
    return sorted(name.removesuffix(".mjs") for name in modules if name != "figure.mjs")


def _source(name: str) -> str:
    if name not in names():
        raise ValueError(f"name: {name!r} is no explorable; there are {', '.join(names())}")
    return _folder().joinpath(f"{name}.mjs").read_text(encoding="utf-8")


def _figure() -> str:
    return _folder().joinpath("figure.mjs").read_text(encoding="utf-8")


def _shared() -> str:
    return _NAMED.sub("", _figure())


def vendored(path: str) -> str:
    """The text of a script in ``vendor/``, as its makers wrote it."""
    return _folder().joinpath("vendor", *path.split("/")).read_text(encoding="utf-8")


def _with_vendored(script: str) -> str:
    def function(line: re.Match) -> str:
        name, path, parameters = line.groups()
        names = ", ".join(re.findall(r"\w+", parameters))
        return f"const {name} = function ({names}) {{\n{vendored(path)}\n}};\n"

    return _VENDORED.sub(function, script)


def esm(name: str) -> str:
    """One ES module with all that the explorable needs, for anywidget.

    Raises ValueError for a name that is no explorable.
    """
    return _shared() + "\n" + _with_vendored(_IMPORT.sub("", _source(name)))


def classic_script(name: str) -> str:
    """A classic script that registers ``window.payattentionExplorables[name]``.

    The registered object holds ``render`` and every exported formula, shared ones too. The
    script evaluates no text and makes no blob, so a strict content security
    policy lets it run, and so does a page opened from disk.

    Raises ValueError for a name that is no explorable, and for a module that
    imports or exports in a form that this translation does not know.
    """
    module = _source(name)
    exported = ["render", *_EXPORTED.findall(_figure() + module)]
    body, defaults = _DEFAULT.subn("", _NAMED.sub("", _IMPORT.sub("", module)))
    script = _shared() + "\n" + body
    left_over = _LEFT_OVER.findall(script)
    if defaults != 1 or left_over:
        raise ValueError(
            f"{name}.mjs: expected one 'export default {{ render }};' and imports from "
            f"./figure.mjs alone; could not translate {left_over or 'the default export'}"
        )
    return (
        f'(() => {{\n"use strict";\n{_with_vendored(script)}\n'
        f"(window.payattentionExplorables ??= {{}})[{json.dumps(name)}] = "
        f"{{ {', '.join(exported)} }};\n}})();\n"
    )


def static_model() -> str:
    """The script that defines ``StaticModel``, a widget's model with no kernel."""
    return _folder().joinpath("static_model.js").read_text(encoding="utf-8")


def palette() -> dict[str, dict[str, str]]:
    """The book's colours: idea -> {"light": hex, "dark": hex}."""
    file = resources.files("payattention").joinpath("palette.json")
    return json.loads(file.read_text(encoding="utf-8"))


def colour(idea: str) -> str:
    """A CSS colour that follows the page's theme; the light one where there is no theme.

    >>> colour("attention")
    'var(--pa-attention, #c4500a)'
    """
    return f"var(--pa-{idea.replace('_', '-')}, {palette()[idea]['light']})"


def stylesheet() -> str:
    """The CSS of all explorables, with the palette as ``--explorable-<idea>``."""
    colours = "".join(
        f"  --explorable-{idea.replace('_', '-')}: {colour(idea)};\n" for idea in palette()
    )
    rules = _folder().joinpath("explorable.css").read_text(encoding="utf-8")
    return f".explorable, .explorable-body {{\n{colours}}}\n{rules}"
