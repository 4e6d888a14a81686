"""The list of CPython's tests that can not apply: which, under what, and why. It stays short."""

from __future__ import annotations

import ast
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import procession

LISTED: list[dict[str, Any]] = tomllib.loads(
    (Path(__file__).parent / "not_applicable.toml").read_text()
)["test"]
LONGEST = 10


def _tests_of_the_suite() -> set[str]:
    """``Class.test`` for all of CPython's suite; not imported, for that starts processes."""
    found = find_spec("test")
    folder = Path(next(iter(found.submodule_search_locations or ()))) if found else Path()
    file = folder / "_test_multiprocessing.py"
    if not file.exists():
        pytest.skip("CPython's own tests are not installed here")
    classes = [node for node in ast.parse(file.read_text()).body if isinstance(node, ast.ClassDef)]
    return {
        f"{kind.name}.{part.name}"
        for kind in classes
        for part in kind.body
        if isinstance(part, ast.FunctionDef)
    }


def test_the_list_is_short() -> None:
    assert len(LISTED) <= LONGEST
    assert len({entry["id"] for entry in LISTED}) == len(LISTED)


@pytest.mark.parametrize("entry", LISTED, ids=lambda entry: entry["id"])
def test_an_entry_says_where_and_why(entry: dict[str, Any]) -> None:
    assert set(entry) == {"id", "start_methods", "reason"}
    assert set(entry["start_methods"]) <= set(procession.get_all_start_methods())
    assert len(entry["reason"].split()) > 5


@pytest.mark.parametrize("entry", LISTED, ids=lambda entry: entry["id"])
def test_an_entry_names_a_test_of_the_suite(entry: dict[str, Any]) -> None:
    # The classes of the suite are made from templates: WithProcessesTestX from _TestX.
    template = entry["id"].replace("WithProcesses", "_")
    assert template in _tests_of_the_suite()
