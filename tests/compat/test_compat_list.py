"""The list of CPython's tests that can not apply: which, under what, and why. It stays short."""

from __future__ import annotations

import ast
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import procession

_LISTS = tomllib.loads((Path(__file__).parent / "not_applicable.toml").read_text())
LISTED: list[dict[str, Any]] = _LISTS["test"]
FUTURES: list[dict[str, Any]] = _LISTS["futures"]
LONGEST = 10


def _tests_of_the_suite(name: str) -> set[str]:
    """``Class.test`` for all of a suite of CPython's; not imported, for that starts processes."""
    found = find_spec("test")
    folder = Path(next(iter(found.submodule_search_locations or ()))) if found else Path()
    files = [
        file for file in (folder / f"{name}.py", *folder.glob(f"{name}/*.py")) if file.exists()
    ]
    if not files:
        pytest.skip("CPython's own tests are not installed here")
    trees = [ast.parse(file.read_text()) for file in files]
    classes = [node for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)]
    return {
        f"{kind.name}.{part.name}"
        for kind in classes
        for part in kind.body
        if isinstance(part, ast.FunctionDef)
    }


@pytest.mark.parametrize("listed", [LISTED, FUTURES])
def test_the_list_is_short(listed: list[dict[str, Any]]) -> None:
    assert len(listed) <= LONGEST
    assert len({entry["id"] for entry in listed}) == len(listed)


@pytest.mark.parametrize("entry", [*LISTED, *FUTURES], ids=lambda entry: entry["id"])
def test_an_entry_says_where_and_why(entry: dict[str, Any]) -> None:
    assert set(entry) == {"id", "start_methods", "reason"}
    assert set(entry["start_methods"]) <= set(procession.get_all_start_methods())
    assert len(entry["reason"].split()) > 5


@pytest.mark.parametrize("entry", LISTED, ids=lambda entry: entry["id"])
def test_an_entry_names_a_test_of_the_suite(entry: dict[str, Any]) -> None:
    # The classes of the suite are made from templates: WithProcessesTestX from _TestX.
    template = entry["id"].replace("WithProcesses", "_")
    assert template in _tests_of_the_suite("_test_multiprocessing")


@pytest.mark.parametrize("entry", FUTURES, ids=lambda entry: entry["id"])
def test_an_entry_names_a_test_of_the_futures(entry: dict[str, Any]) -> None:
    assert entry["id"] in _tests_of_the_suite("test_concurrent_futures")
