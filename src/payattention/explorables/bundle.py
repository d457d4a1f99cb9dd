"""JavaScript and CSS of the explorables, put together from their sources.

Each figure is one ES module, ``<name>.mjs``, that may import from the modules in `SHARED`,
which may import from those before them, and from nothing else. Jupyter and Colab load
the module itself; a static page loads a classic script made from it, because a
browser refuses modules from ``file://``. Both are made by text alone: the sources
keep every ``import`` and ``export`` at the start of a line, in the few forms named here.

A script that is not ours stands unchanged in ``vendor/``. The line
``const chart = vendored("chart/chart.js", "window");`` makes a function of it, whose
parameters take the place of what such a script looks for on a page.

Bytes that a page loads when a reader asks for them, the weights of a model, travel as
classic scripts too: `parts` cuts them, `part_scripts` wraps each part in base 64.
"""

import base64
import hashlib
import json
import re
from importlib import resources
from importlib.resources.abc import Traversable

SHARED = (
    "figure",
    "decoder",
    "loading",
    "quantities",
    "cost",
    "laws",
    "rules",
    "pruning",
)
PART_BYTES = 240_000  # a multiple of 3, so that no base 64 ends in padding but the last

_IMPORT = re.compile(rf'^import \{{[^}}]*\}} from "\./({"|".join(SHARED)})\.mjs";\n', re.MULTILINE)
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
    return sorted({name.removesuffix(".mjs") for name in modules} - set(SHARED))


def _source(name: str) -> str:
    if name not in names():
        raise ValueError(f"name: {name!r} is no explorable; there are {', '.join(names())}")
    return _folder().joinpath(f"{name}.mjs").read_text(encoding="utf-8")


def _shared(module: str) -> str:
    """What the module imports from, and what that imports from, in the order of `SHARED`."""
    wanted, texts = set(_IMPORT.findall(module)), []
    for name in reversed(SHARED):
        if name in wanted:
            text = _folder().joinpath(f"{name}.mjs").read_text(encoding="utf-8")
            wanted |= set(_IMPORT.findall(text))
            texts.append(_IMPORT.sub("", text))
    return "\n".join(reversed(texts))


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
    module = _source(name)
    return _NAMED.sub("", _shared(module)) + "\n" + _with_vendored(_IMPORT.sub("", module))


def classic_script(name: str) -> str:
    """A classic script that registers ``window.payattentionExplorables[name]``.

    The registered object holds ``render`` and every exported formula, shared ones too. The
    script evaluates no text and makes no blob, so a strict content security
    policy lets it run, and so does a page opened from disk.

    Raises ValueError for a name that is no explorable, and for a module that
    imports or exports in a form that this translation does not know.
    """
    module = _source(name)
    shared = _shared(module)
    exported = ["render", *_EXPORTED.findall(shared + module)]
    body, defaults = _DEFAULT.subn("", _NAMED.sub("", _IMPORT.sub("", module)))
    script = _NAMED.sub("", shared) + "\n" + body
    left_over = _LEFT_OVER.findall(script)
    if defaults != 1 or left_over:
        raise ValueError(
            f"{name}.mjs: expected one 'export default {{ render }};' and imports from "
            f"the shared modules alone; could not translate {left_over or 'the default export'}"
        )
    return (
        f'(() => {{\n"use strict";\n{_with_vendored(script)}\n'
        f"(window.payattentionExplorables ??= {{}})[{json.dumps(name)}] = "
        f"{{ {', '.join(exported)} }};\n}})();\n"
    )


def parts(content: bytes) -> list[bytes]:
    """The bytes, cut so that a reader sees them arrive."""
    return [content[at : at + PART_BYTES] for at in range(0, len(content), PART_BYTES)]


def part_name(content: bytes, *, name: str) -> str:
    """The name with some letters that change with the bytes, so that no browser keeps old ones."""
    return f"{name}-{hashlib.sha256(content).hexdigest()[:8]}"


def part_scripts(content: bytes, *, name: str) -> dict[str, str]:
    """A classic script for each part, by its path below a folder.

    Each sets ``window.payattentionParts[path]`` to its part in base 64.

    >>> part_scripts(b"abc", name="gpt")
    {'gpt-ba7816bf/0.js': '(window.payattentionParts ??= {})["gpt-ba7816bf/0.js"] = "YWJj";\\n'}
    """
    scripts = {}
    for place, part in enumerate(parts(content)):
        path = f"{part_name(content, name=name)}/{place}.js"
        text = base64.b64encode(part).decode("ascii")
        scripts[path] = f'(window.payattentionParts ??= {{}})["{path}"] = "{text}";\n'
    return scripts


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
