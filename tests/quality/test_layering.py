"""Each part of the package knows only what lies below it."""

from __future__ import annotations

import re

import pytest

from tests.quality.imports import PACKAGE, imports, modules

# From the top down. What stands in one row is independent of its neighbours. A module that is not
# named here belongs to the row of the nearest package above it.
LAYERS = [
    ["__main__"],  # python -m procession
    ["_cli", "_dashboard"],
    [""],  # the front door: `procession` itself
    ["joblib", "_compare"],
    ["_joblib"],
    ["context"],
    [
        "pool",
        "backends",
        "queues",
        "synchronize",
        "connection",
        "managers",
        "shared_memory",
        "sharedctypes",
        "reduction",
        "futures",
        "dummy",
        "heap",
        "resource_sharer",
        "resource_tracker",
        "util",
    ],
    ["_values"],
    ["pool_worker", "_sync", "_transport"],
    ["process"],
    ["_backends", "_journal"],
    ["_engine", "_named", "_queues"],
    ["_launch", "_worker"],
    ["_codec", "_observe"],
    ["_core"],
    ["errors", "_threads"],
]

# These open other doors when they are asked for: importing them must stay cheap.
LAZY_DOORS = {PACKAGE, *(f"{PACKAGE}.{door}" for door in ("context", "futures", "pool"))}


def part_of(module: str) -> str:
    """The part of the house a module belongs to."""
    return module.removeprefix(PACKAGE).lstrip(".").partition(".")[0]


def height(part: str) -> int:
    """The row of a part, counted from the top."""
    for row, parts in enumerate(LAYERS):
        if part in parts:
            return row
    raise LookupError(f"{part} has no place in LAYERS")


def test_something_is_checked() -> None:
    assert len(modules()) > 10
    assert len(imports()) > 10


@pytest.mark.parametrize("module", sorted(modules()))
def test_imports_point_downwards(module: str) -> None:
    own = part_of(module)
    wrong = [
        str(found)
        for found in imports()
        if found.importer == module
        and part_of(found.imported) != own
        and height(part_of(found.imported)) <= height(own)
    ]
    assert not wrong, "\n".join(wrong)


def test_nothing_is_imported_inside_functions() -> None:
    wrong = [
        str(found)
        for found in imports()
        if found.in_function and not found.typing_only and found.importer not in LAZY_DOORS
    ]
    assert not wrong, "\n".join(wrong)


def test_threads_are_of_one_kind() -> None:
    """Theirs whose start a signal handler may interrupt: ``_threads.Thread``."""
    others = re.compile(r"threading\.(Thread|Timer)\(|from threading import .*\b(Thread|Timer)\b")
    assert not [name for name, path in modules().items() if others.search(path.read_text())]
    users = {found.importer for found in imports() if found.imported == f"{PACKAGE}._threads"}
    assert f"{PACKAGE}._engine.attendant" in users


def test_no_module_imports_itself_in_a_circle() -> None:
    graph: dict[str, set[str]] = {name: set() for name in modules()}
    for found in imports():
        if not found.typing_only and found.imported != found.importer:
            graph[found.importer].add(found.imported)
    while leaves := [name for name, below in graph.items() if not below & graph.keys()]:
        for name in leaves:
            del graph[name]
    assert not graph, f"these import each other: {sorted(graph)}"


def test_an_import_is_recognised_wherever_it_hides() -> None:
    kinds = {(found.in_function, found.typing_only) for found in imports()}
    assert {(False, False), (False, True)} <= kinds
