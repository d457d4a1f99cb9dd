"""Which code a result stands on: a hash that changes when the code does.

Only what runs counts: comments, docstrings and layout do not, nor do the modules
that carry records about without computing them. Of an experiment and of the modules
that it imports, what one function reaches by name may be counted alone: findings can
then be said in other words, and a module can grow, without measuring again. What a
decorator or ``getattr`` reaches by other ways than a name is not seen.
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
    *(f"{PACKAGE}.{name}" for name in ("engines", "files", "progress", "records", "results")),
    *(f"{PACKAGE}.{name}" for name in ("sources", "sweep")),
}


def modules(name: str, function: str | None = None) -> list[str]:
    """Names of the module and of all in this package that it imports, directly or not, sorted.

    With a function's name, what that function does not reach is left out.
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


Names = frozenset[str] | None
"""What is asked of a module: some of its names, or (None) all of it."""


def _trees(name: str, function: str | None) -> dict[str, ast.Module]:
    asked: dict[str, Names] = {}
    found: dict[str, ast.Module] = {}
    waiting: list[tuple[str, Names]] = [(name, function and frozenset([function]))]
    while waiting:
        module, names = waiting.pop()
        if module in CARRIERS:
            continue
        if function is None:
            names = None
        known = asked.get(module, frozenset())
        names = None if names is None or known is None else known | names
        if module in asked and names == known:
            continue
        asked[module] = names
        found[module] = tree = _tree(module, names, strict=module == name)
        waiting.extend(_imported(module, tree))
    return found


def _tree(module: str, names: Names, *, strict: bool) -> ast.Module:
    """The module's code, or what of it some names reach."""
    tree = _without_docstrings(ast.parse(_path(module).read_text(encoding="utf-8")))
    return tree if names is None else _reached(tree, names, strict=strict)


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


def _reached(tree: ast.Module, names: frozenset[str], *, strict: bool) -> ast.Module:
    """The statements of the module that the names reach, directly or not.

    A statement that binds no name, such as a call, may have any effect: it stays. Where a
    name is bound in a way that is not seen here, all stays; ``strict`` refuses such a name.
    """
    parts = [part for part in _parted(tree.body) if not _is_main(part)]
    binding: dict[str, list[ast.stmt]] = {}
    for part in parts:
        for name in _bound(part):
            binding.setdefault(name, []).append(part)
    missing = names - binding.keys()
    if missing and strict:
        raise ValueError(f"function: got {min(missing)!r}; expected one of {sorted(binding)}")
    kept: list[ast.stmt] = []
    waiting = [part for part in parts if missing or names & _bound(part) or not _bound(part)]
    while waiting:
        part = waiting.pop()
        if part not in kept:
            kept.append(part)
            used = {node.id for node in ast.walk(part) if isinstance(node, ast.Name)}
            waiting.extend(other for name in used & binding.keys() for other in binding[name])
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


def _imported(module: str, tree: ast.Module) -> Iterator[tuple[str, Names]]:
    """Modules of this package that the tree imports, wherever in it, and what it asks of each."""
    path = _path(module)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:  # import a.b.c as c
                names = _attributes(tree, alias.asname) if alias.asname else None
                yield from _asked(alias.name, names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            base = importlib.util.resolve_name(base, package)
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                if _is_module(inner):  # from a.b import c, a module
                    yield from _asked(inner, _attributes(tree, alias.asname or alias.name))
                else:
                    names = None if alias.name == "*" else frozenset([alias.name])
                    yield from _asked(base, names)


def _attributes(tree: ast.Module, module: str) -> Names:
    """What the tree asks of a module that it knows by this name; None where it hands it on."""
    nodes = list(ast.walk(tree))
    loose = {id(node) for node in nodes if isinstance(node, ast.Name) and node.id == module}
    names = set()
    for node in nodes:
        if isinstance(node, ast.Attribute) and id(node.value) in loose:
            loose.discard(id(node.value))
            names.add(node.attr)
    return None if loose else frozenset(names)


def _asked(name: str, names: Names) -> Iterator[tuple[str, Names]]:
    """The names of module a.b.c; and of a and a.b, which run before it, only what they do."""
    if _is_module(name):
        *parents, module = _parts(name)
        yield from ((parent, frozenset()) for parent in parents)
        yield module, names


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
