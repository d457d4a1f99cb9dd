"""Which code a result stands on: a hash that changes when the code does.

Only what runs counts: comments, docstrings and layout do not, nor do the modules
that carry records about without computing them. Of the module that is asked about
only what one function reaches may be counted: an experiment's findings can then be
said in other words without measuring again.
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
    *(f"{PACKAGE}.{name}" for name in ("files", "progress", "records", "results", "sources")),
    f"{PACKAGE}.sweep",
}


def modules(name: str, function: str | None = None) -> list[str]:
    """Names of the module and of all in this package that it imports, directly or not, sorted.

    With a function's name, what that function does not reach in its module is left out.
    """
    return sorted(_trees(name, function))


def modules_hash(name: str, function: str | None = None) -> str:
    """Sixteen hexadecimal digits that stand for the code of ``modules(name, function)``.

    A stored result carries it, and a half-finished sweep is resumed only as long as
    it stays the same.
    """
    digest = hashlib.sha256()
    for module, tree in sorted(_trees(name, function).items()):
        digest.update(f"{module}\n{ast.unparse(tree)}\n".encode())
    return digest.hexdigest()[:16]


def _trees(name: str, function: str | None) -> dict[str, ast.Module]:
    found: dict[str, ast.Module] = {}
    waiting = [name]
    while waiting:
        module = waiting.pop()
        if module not in found.keys() | CARRIERS:
            tree = _without_docstrings(ast.parse(_path(module).read_text(encoding="utf-8")))
            if module == name and function is not None:
                tree = _reached(tree, function)
            found[module] = tree
            waiting.extend(_imported(module, tree))
    return found


def _path(module: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ValueError(f"name: got {module!r}; expected a module with a source file")
    return Path(spec.origin)


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        documented = isinstance(
            node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        )
        if documented and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return tree


def _reached(tree: ast.Module, function: str) -> ast.Module:
    """The statements of the module whose names the function uses, directly or not.

    A statement that binds no name, such as a call, may have any effect: it stays.
    """
    parts = [part for part in _parted(tree.body) if not _is_main(part)]
    binding: dict[str, list[ast.stmt]] = {}
    for part in parts:
        for name in _bound(part):
            binding.setdefault(name, []).append(part)
    if function not in binding:
        raise ValueError(f"function: got {function!r}; expected one of {sorted(binding)}")
    kept: list[ast.stmt] = []
    waiting = [*binding[function], *(part for part in parts if not _bound(part))]
    while waiting:
        part = waiting.pop()
        if part not in kept:
            kept.append(part)
            names = {node.id for node in ast.walk(part) if isinstance(node, ast.Name)}
            waiting.extend(other for name in names & binding.keys() for other in binding[name])
    return ast.Module([part for part in parts if part in kept], type_ignores=[])


def _parted(body: list[ast.stmt]) -> list[ast.stmt]:
    """The statements, with one import statement for each imported name."""
    parts: list[ast.stmt] = []
    for statement in body:
        if isinstance(statement, ast.ImportFrom):
            module, level = statement.module, statement.level
            parts += [ast.ImportFrom(module, [alias], level) for alias in statement.names]
        elif isinstance(statement, ast.Import):
            parts += [ast.Import([alias]) for alias in statement.names]
        else:
            parts.append(statement)
    return parts


def _is_main(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and "__name__" in ast.unparse(statement.test)


def _bound(statement: ast.stmt) -> set[str]:
    """Names that a statement gives a meaning to; none for one of another kind."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    if isinstance(statement, ast.Import | ast.ImportFrom):
        names = {alias.asname or alias.name.partition(".")[0] for alias in statement.names}
        return names - {"*"}
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        nodes = [node for target in targets for node in ast.walk(target)]
        return {node.id for node in nodes if isinstance(node, ast.Name)}
    return set()


def _imported(module: str, tree: ast.Module) -> Iterator[str]:
    """Modules of this package that the tree imports, wherever in it."""
    path = _path(module)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree):
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
