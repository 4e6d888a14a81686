"""A room that lists its files in its docstring lists all of them, and none that is not there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

_LINE = re.compile(r"^``(\w+)``  ", re.MULTILINE)


def _listed(room: Path) -> list[str]:
    text = ast.get_docstring(ast.parse((room / "__init__.py").read_text())) or ""
    return _LINE.findall(text)


ROOMS = [
    room
    for room in sorted((ROOT / "src/procession").iterdir())
    if (room / "__init__.py").exists() and _listed(room)
]


def test_the_rooms_are_found() -> None:
    assert {room.name for room in ROOMS} >= {"_engine", "_worker", "_observe"}


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_each_file_is_listed_once(room: Path) -> None:
    files = {file.stem for file in room.glob("*.py")} - {"__init__"}
    assert sorted(_listed(room)) == sorted(files)
