"""The three programs that everything began with, unmodified: under python and under ours."""

from __future__ import annotations

import re

import pytest

from tests.cli.running import Ended, plain, through_run


def pairs(program: str) -> list[Ended]:
    ended = [run(program) for run in (plain, through_run)]
    for each in ended:
        assert (each.returncode, each.stderr) == (0, "")
    return ended


def without_pids(text: str) -> list[str]:
    return [re.sub(r"\b\d+$", "PID", line) for line in text.splitlines()]


def test_two_processes_print_and_the_parent_is_done_after_both() -> None:
    for ended in pairs("square_and_cube.py"):
        *before, last = ended.stdout.splitlines()
        assert sorted(before) == ["Cube: 1000", "Square: 100"]
        assert last == "Done!"


def test_a_pool_maps_a_function() -> None:
    expected, ended = pairs("pool_map.py")
    assert ended.stdout == expected.stdout == "[1, 4, 9]\n"


def test_identity_and_life() -> None:
    expected, ended = pairs("process_ids.py")
    # The processes' lines can come in any order between the parent's.
    assert sorted(without_pids(ended.stdout)) == sorted(without_pids(expected.stdout))
    for text in (expected.stdout, ended.stdout):
        said = dict(re.findall(r"ID of (.+): (\d+)", text))
        assert said["process p1"] == said["process running worker1"]
        assert said["process p2"] == said["process running worker2"]
        assert len({*said.values()}) == 3
        assert text.splitlines()[-3:] == [
            "Both processes finished execution!",
            "Process p1 is alive: False",
            "Process p2 is alive: False",
        ]


@pytest.mark.parametrize("program", ["square_and_cube.py", "pool_map.py", "process_ids.py"])
def test_all_that_they_use_comes_from_procession(program: str) -> None:
    ended = through_run("--explain", program)
    assert ended.returncode == 0
    assert ended.stderr.endswith("  from the standard library:  nothing\n")
