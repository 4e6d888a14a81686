"""The examples print what their counterparts print under the standard library."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.running import PROGRAMS, Ended, plain, run, through_run

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
    elsewhere = {"demo.py", "on_dask.py", "on_ray.py"}
    ours = {"square_and_cube.py", "pool_map.py", "process_ids.py"}
    assert {path.name for path in EXAMPLES.glob("*.py")} == ours | elsewhere


GUARD = 'if __name__ == "__main__":\n'


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("name", ["square_and_cube.py", "pool_map.py", "process_ids.py"])
@pytest.mark.parametrize(
    ("folder", "package", "start"),
    [(PROGRAMS, "multiprocessing", through_run), (EXAMPLES, "procession", plain)],
    ids=["unmodified", "example"],
)
def test_a_program_gives_the_same_under_each_start_method(
    folder: Path,
    package: str,
    start: Callable[..., Ended],
    name: str,
    method: str,
    tmp_path: Path,
) -> None:
    choice = f"    import {package}\n    {package}.set_start_method({method!r})\n"
    text = (folder / name).read_text()
    (tmp_path / name).write_text(text.replace(GUARD, GUARD + choice))
    ended = start(name, folder=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert lines(ended.stdout) == lines(plain(name).stdout)
