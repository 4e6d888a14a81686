"""Who imports whom in src/procession, read from the source text."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src"
PACKAGE = "procession"


class Import(NamedTuple):
    """One import of one of our modules by another."""

    importer: str
    imported: str
    line: int
    in_function: bool
    typing_only: bool

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


def module_name(path: Path) -> str:
    """The dotted name of a source file."""
    parts = path.relative_to(SOURCES).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, Path]:
    """All modules of the package; of a compiled one, its stub."""
    files = [*SOURCES.rglob("*.pyi"), *SOURCES.rglob("*.py")]
    return {module_name(path): path for path in sorted(files, reverse=True)}


@cache
def imports() -> list[Import]:
    """All imports of our own modules by our own modules."""
    return [found for name, path in modules().items() for found in _imports_of(name, path)]


def _imports_of(name: str, path: Path) -> Iterator[Import]:
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    for node, in_function, typing_only in _walk(ast.parse(path.read_text()), False, False):
        for target in _targets(node, package):
            if target.partition(".")[0] == PACKAGE:
                yield Import(name, target, node.lineno, in_function, typing_only)


def _walk(
    node: ast.AST, in_function: bool, typing_only: bool
) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, in_function, typing_only
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _walk(child, True, typing_only)
        elif isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            yield from _walk(ast.Module(child.body, []), in_function, True)
            yield from _walk(ast.Module(child.orelse, []), in_function, typing_only)
        else:
            yield from _walk(child, in_function, typing_only)


def _targets(node: ast.Import | ast.ImportFrom, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    base = node.module or ""
    if node.level:
        parent = package.split(".")[: len(package.split(".")) - node.level + 1]
        base = ".".join([*parent, *filter(None, [node.module])])
    for alias in node.names:
        full = f"{base}.{alias.name}"
        yield full if full in modules() else base
