"""What was run, and what is recorded, seen from outside."""

from __future__ import annotations

import ast
import contextlib
import shutil
import sqlite3
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any


class Runs:
    """The runs that functions of ``counted`` have written down."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __len__(self) -> int:
        """How many, of whatever items."""
        return len(self._lines())

    def all(self) -> list[tuple[str, Any]]:
        """What each run was a part of, and its item: a literal."""
        parted = (line.partition(" ") for line in self._lines())
        return [(run, ast.literal_eval(item)) for run, _, item in parted]

    def items(self) -> list[Any]:
        """The items, sorted."""
        return sorted(item for _, item in self.all())

    def count(self) -> Counter[Any]:
        """How often each item was run."""
        return Counter(item for _, item in self.all())

    def _lines(self) -> list[str]:
        if not self.path.exists():
            return []
        text = self.path.read_text()
        # Who was killed while writing has left a line without an end.
        return text[: text.rfind("\n") + 1].splitlines()


def recorded(journal: Path) -> set[int]:
    """The positions that a journal has; looks at a copy, so that nothing is changed."""
    with tempfile.TemporaryDirectory() as folder:
        for beside in ("", "-wal", "-journal"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copy(f"{journal}{beside}", f"{folder}/copy{beside}")
        with contextlib.closing(sqlite3.connect(f"{folder}/copy")) as database:
            tables = database.execute("SELECT name FROM sqlite_master").fetchall()
            if ("items",) not in tables:
                return set()
            return {row[0] for row in database.execute("SELECT position FROM items")}
