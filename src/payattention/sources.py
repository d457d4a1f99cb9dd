"""Which code a result stands on: a hash that changes when the code does.

Only what runs counts: comments, docstrings and layout do not, nor do the modules
that carry records about without computing them.
"""

import ast
import hashlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path

PACKAGE = __name__.partition(".")[0]
# These start and store runs; what a run computes does not depend on them. The
# package's own __init__ holds its version and no code.
CARRIERS = {
    PACKAGE,
    *(
        f"{PACKAGE}.{name}"
        for name in ("files", "progress", "records", "results", "sources", "sweep")
    ),
}


def modules(name: str) -> list[str]:
    """Names of the module and of all in this package that it imports, directly or not, sorted."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        module = waiting.pop()
        if module not in found | CARRIERS:
            found.add(module)
            waiting.extend(_imported(module))
    return sorted(found)


def modules_hash(name: str) -> str:
    """Sixteen hexadecimal digits that stand for the code of ``modules(name)``.

    A stored result carries it, and a half-finished sweep is resumed only as long as
    it stays the same.
    """
    digest = hashlib.sha256()
    for module in modules(name):
        digest.update(f"{module}\n{_code(module)}\n".encode())
    return digest.hexdigest()[:16]


def _path(module: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ValueError(f"name: got {module!r}; expected a module with a source file")
    return Path(spec.origin)


def _code(module: str) -> str:
    """The module's code in one layout, without comments and docstrings."""
    tree = ast.parse(_path(module).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        documented = isinstance(
            node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        )
        if documented and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def _imported(module: str) -> Iterator[str]:
    """Modules of this package that the module's source imports, wherever in it."""
    path = _path(module)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            base = importlib.util.resolve_name(base, package)
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            yield from (part for part in _parts(name) if _is_module(part))


def _parts(name: str) -> Iterator[str]:
    """a.b.c as a, a.b and a.b.c: to import the last is to run all."""
    words = name.split(".")
    return (".".join(words[: end + 1]) for end in range(len(words)))


def _is_module(name: str) -> bool:
    if name.partition(".")[0] != PACKAGE:
        return False
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # its parent is a module, and this one of its names
        return False
