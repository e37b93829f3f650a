"""A hash of a backend's own code: what makes rows stale when an adapter, or a profile, was edited.

It is taken from the syntax trees, without docstrings: comments, layout and the place of a file are not in it. Nothing
is imported, so that no framework is.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.machinery import PathFinder
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@cache
def distributions() -> dict[str, list[str]]:
    """The distributions that each top-level module or package was installed by."""
    return dict(packages_distributions())


@cache
def source_of_module(module: str) -> str | None:
    """The hash of a module and of all that it imports from its own package; None where there is no source."""
    trees = _trees(module)
    return _digest(trees) if trees else None


@cache
def required_by(module: str, class_name: str) -> tuple[str, ...]:
    """What the class says of itself as `requires`, read from the source; nothing where that is no plain tuple."""
    for tree in _trees(module):
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and node.name == class_name:
                for statement in node.body:
                    if "requires" in _names(statement) and isinstance(statement, ast.Assign | ast.AnnAssign):
                        return _texts(statement.value)
    return ()


@cache
def source_of_function(path: Path, name: str, modules: tuple[str, ...]) -> str | None:
    """The hash of a function, of all in its file that it mentions, and of whole modules by which it is read.

    None where there is no source. The whole file counts where no function of that name stands in it.
    """
    tree = _tree(path)
    read = [None if (found := _path(module)) is None else _tree(found) for module in modules]
    if tree is None or None in read:
        return None
    own: list[ast.AST] = [*_mentioned(tree, name)] or [tree]
    return _digest([*own, *(each for each in read if each is not None)])


@cache
def _trees(module: str) -> list[ast.Module]:
    """A module and all that it imports from its own package, or, without one, from beside it.

    Nothing where the source of one cannot be read.
    """
    files: dict[str, ast.Module] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in files or (path := _path(name)) is None:
            continue
        tree = _tree(path)
        if tree is None:
            return []
        files[name] = tree
        waiting += _siblings(tree, name, is_package=path.name == "__init__.py")
        if "." not in name and path.name != "__init__.py":
            waiting += _beside(tree, name, path)
    return list(files.values()) if module in files else []


def _texts(node: ast.expr | None) -> tuple[str, ...]:
    try:
        found = ast.literal_eval(node) if node is not None else ()
    except ValueError:
        return ()
    return tuple(each for each in found if isinstance(each, str)) if isinstance(found, tuple | list) else ()


def _path(module: str) -> Path | None:
    """The file of a module that can be imported, found without importing the packages that it stands in."""
    top, *rest = module.split(".")
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):  # of a module that was made in memory
        return None
    for part in rest:
        if spec is None or spec.submodule_search_locations is None:
            return None
        spec = PathFinder.find_spec(part, list(spec.submodule_search_locations))
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def _tree(path: Path) -> ast.Module | None:
    try:
        return ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None


def _siblings(tree: ast.Module, module: str, is_package: bool) -> Iterator[str]:
    """The modules of the same top-level package that a module imports, wherever in it."""
    top = module.partition(".")[0]
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.partition(".")[0] == top)
        elif isinstance(node, ast.ImportFrom):
            base = package.rsplit(".", node.level - 1)[0] if node.level > 1 else package
            origin = ".".join(filter(None, (base if node.level else "", node.module)))
            if origin.partition(".")[0] == top:
                yield origin
                yield from (f"{origin}.{alias.name}" for alias in node.names)


def _beside(tree: ast.Module, module: str, path: Path) -> Iterator[str]:
    """The modules without a package that a module without one imports from its own folder.

    Where all installed packages share that folder they must have come with it.
    """
    for node in ast.walk(tree):
        imported = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            imported.append(node.module)
        for name in imported:
            there = _path(name) if "." not in name else None
            if there is not None and there.parent == path.parent and there.name != "__init__.py":
                shared = path.parent.name in ("site-packages", "dist-packages")
                if not shared or distributions().get(name) == distributions().get(module):
                    yield name


def _mentioned(tree: ast.Module, name: str) -> list[ast.stmt]:
    """The statements of a module that define a name, and those that define what they mention."""
    defined = {target: node for node in tree.body for target in _names(node)}
    found: dict[str, ast.stmt] = {}
    waiting = [name]
    while waiting:
        each = waiting.pop()
        if each in defined and each not in found:
            found[each] = defined[each]
            waiting += [node.id for node in ast.walk(defined[each]) if isinstance(node, ast.Name)]
    return list(found.values())


def _names(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        yield node.name
    elif isinstance(node, ast.Assign):
        yield from (target.id for target in node.targets if isinstance(target, ast.Name))
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        yield node.target.id


def _digest(trees: Iterable[ast.AST]) -> str:
    """In the order of their own hashes, so that a file that is called otherwise changes nothing."""
    parts = sorted(hashlib.sha256(repr(_plain(tree)).encode()).hexdigest() for tree in trees)
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def _plain(value: object) -> object:
    """A syntax tree as tuples, without docstrings and what is empty, which Python's versions write differently."""
    if isinstance(value, list):
        return tuple(map(_plain, value))
    if not isinstance(value, ast.AST):
        return value
    fields = []
    for name, child in ast.iter_fields(value):
        if name == "body" and isinstance(value, _DOCUMENTED):
            child = child[1:] if ast.get_docstring(value, clean=False) is not None else child
        if name not in ("kind", "type_ignores", "type_comment") and child not in (None, []):
            fields.append((name, _plain(child)))
    return (type(value).__name__, *fields)
