"""``procession memory`` shows who has how much of a running program's shared memory."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cli.running import LIMIT, Ended, run
from tests.plugins.scripts import script_environment

MIB = 1 << 20

# Says its own pid and its children's once all have what they are to have, and stays.
SHARING = """
import os, signal, sys
import procession as mp

def hold(data, pipe):
    pipe.send(os.getpid())
    signal.pause()

if __name__ == "__main__":
    data = mp.share(bytes(32 << 20))
    values = mp.RawArray("d", 1 << 20)
    here, there = mp.Pipe()
    children = [mp.Process(target=hold, args=(data, there), name=f"holder-{n}") for n in (1, 2)]
    pids = []
    for child in children:
        child.start()
        pids.append(here.recv())
    print(os.getpid(), *pids, flush=True)
    sys.stdin.read()
    for child in children:
        child.kill()
        child.join()
"""

Start = Callable[[], "list[int]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts the program above; returns its process ids."""
    running: list[subprocess.Popen[str]] = []

    def start_it() -> list[int]:
        program = subprocess.Popen(
            [sys.executable, "-c", SHARING],
            env=script_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        running.append(program)
        assert program.stdout is not None
        return [int(word) for word in program.stdout.readline().split()]

    yield start_it
    for program in running:
        program.communicate(timeout=LIMIT)
        assert program.returncode == 0


def memory(*arguments: object) -> Ended:
    """What the command says."""
    return run([sys.executable, "-m", "procession", "memory", *map(str, arguments)])


def test_as_text(start: Start) -> None:
    parent, first, second = start()
    for pid in (parent, first, second):
        shown = memory(pid)
        assert shown.stderr == ""
        assert shown.returncode == 0
        head, _, *lines = shown.stdout.splitlines()
        assert re.fullmatch(r"[\d.]+ MiB of [\d.]+ [MGT]iB in use, .+ kept warm", head)
        assert lines[0] == "what for"
        assert re.fullmatch(r"  shared +32 MiB  1 block", lines[1])
        assert re.fullmatch(r"  values +8 MiB  1 block", lines[2])
        assert f"  shared  32 MiB  MainProcess (pid {parent}) and 2 more" in lines
        for name, holder in (("holder-1", first), ("holder-2", second)):
            assert any(line.startswith(f"  {name} (pid {holder}) ") for line in lines)


def test_as_data(start: Start) -> None:
    parent, first, second = start()
    shown = memory("--json", parent)
    assert shown.returncode == 0
    data: dict[str, Any] = json.loads(shown.stdout)
    assert data["budget"] > data["in_use"] >= 40 * MIB
    assert data["kinds"]["shared"] == {"bytes": 32 * MIB, "blocks": 1}
    assert data["largest"][0] == {
        "bytes": 32 * MIB,
        "kind": "shared",
        "pids": sorted([parent, first, second]),
    }
    held = {process["pid"]: process["bytes"] for process in data["processes"]}
    assert held[first] >= 32 * MIB
    assert held[parent] >= 40 * MIB


def test_a_killed_process_has_nothing(start: Start) -> None:
    parent, first, second = start()
    os.kill(first, 9)
    data: Any = None
    alive = {first}
    while first in alive:  # the kernel has not told yet
        data = json.loads(memory("--json", parent).stdout)
        alive = {process["pid"] for process in data["processes"] if process["alive"]}
    assert alive == {parent, second}
    assert data["kinds"]["shared"]["blocks"] == 1


def test_all_programs(start: Start) -> None:
    programs = [start(), start()]
    shown = memory()
    assert shown.returncode == 0
    for parent, *_ in programs:
        assert re.search(rf"^process {parent} and 2 more: .* in use", shown.stdout, re.MULTILINE)
    data = json.loads(memory("--json").stdout)
    found = [family["pids"] for family in data if family["kinds"]["shared"]["bytes"] == 32 * MIB]
    for pids in programs:
        assert pids in found


def test_usage() -> None:
    assert memory("x").stderr.startswith("usage: procession memory ")
    helped = memory("--help")
    assert helped.returncode == 0
    assert "exit status" in helped.stdout
    assert max(map(len, helped.stdout.splitlines())) <= 100


def test_an_error_is_one_line() -> None:
    nobody = 2**22 + 1  # more than the kernel gives
    shown = memory(nobody)
    assert shown.returncode == 2
    assert shown.stdout == ""
    assert shown.stderr == f"procession memory: there is no process with the pid {nobody}\n"
