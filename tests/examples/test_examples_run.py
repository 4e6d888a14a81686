"""The examples print what their counterparts print under the standard library."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.cli.running import plain, run

EXAMPLES = Path(__file__).parents[2] / "examples"


def lines(text: str) -> list[str]:
    """The output without the pids; processes at the same time print in any order."""
    return sorted(
        re.sub(r"\b\d+$", "N", line) if "ID of" in line else line for line in text.split("\n")
    )


@pytest.mark.parametrize("name", ["square_and_cube.py", "pool_map.py", "process_ids.py"])
def test_an_example_gives_what_the_standard_library_gives(name: str) -> None:
    ended = run([sys.executable, str(EXAMPLES / name)])
    expected = plain(name)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert lines(ended.stdout) == lines(expected.stdout)
    assert ended.stdout.splitlines()[-1] == expected.stdout.splitlines()[-1]


def test_every_example_is_run_somewhere() -> None:
    elsewhere = {"demo.py"}
    ours = {"square_and_cube.py", "pool_map.py", "process_ids.py"}
    assert {path.name for path in EXAMPLES.glob("*.py")} == ours | elsewhere
