"""``procession map --journal``: killed at random, with all its family, and begun again."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.running import PROGRAMS
from tests.journal.runs import Runs, recorded
from tests.plugins.scripts import script_environment

SEED = 7
FURTHER = 64
"""Bytes that a run may note beyond those at which it is killed."""


class Family:
    """Runs of one command, one after the other."""

    def __init__(self, folder: Path, items: int) -> None:
        self.journal = folder / "run.sqlite"
        self.output = folder / "out.jsonl"
        self.inputs = folder / "inputs.txt"
        self.inputs.write_text("".join(f"{item}\n" for item in range(items)))
        self.runs = Runs(folder / "runs.log")
        self._count = 0

    def begin(self, **env: str) -> subprocess.Popen[bytes]:
        """The command once more."""
        self._count += 1
        command = [sys.executable, "-m", "procession", "map", "mapped:noted", "-j2"]
        with self.inputs.open("rb") as lines:
            return subprocess.Popen(
                [*command, "--journal", str(self.journal), "--output", str(self.output)],
                cwd=PROGRAMS,
                env=script_environment(RUNS_LOG=str(self.runs.path), RUN=str(self._count), **env),
                stdin=lines,
                stdout=subprocess.PIPE,  # its end is that of the last of them
                start_new_session=True,
            )

    def kill(self, after: int) -> None:
        """Begin, and kill all of them once so many bytes more were noted; they do not get far
        beyond that."""
        until = self._size() + after
        running = self.begin(MOST=str(until + FURTHER))
        assert running.stdout is not None
        while self._size() < until and running.poll() is None:
            pass
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        assert running.stdout.read() == b""
        running.stdout.close()
        assert running.wait() == -signal.SIGKILL, "it got through too early: nothing was tried"

    def _size(self) -> int:
        with contextlib.suppress(FileNotFoundError):
            return os.path.getsize(self.runs.path)
        return 0


def check(folder: Path, items: int, kills: int) -> None:
    """Begin, kill and begin again, then let it get through."""
    family, chance = Family(folder, items), random.Random(SEED)
    bytes_in_all = sum(len(f"1 '{item}'\n") for item in range(items))
    known: list[set[int]] = []
    for _ in range(kills):
        known.append(recorded(family.journal) if family.journal.exists() else set())
        family.kill(chance.randrange(2 * bytes_in_all // kills) // 2)
        assert not family.output.exists()
    known.append(recorded(family.journal))
    running = family.begin()
    out, _ = running.communicate()
    assert (running.returncode, out) == (0, b"")
    lines = [json.loads(line) for line in family.output.read_text().splitlines()]
    assert sorted(line["index"] for line in lines) == [*range(items)]
    assert all(line["result"] == int(line["input"]) ** 2 for line in lines)
    assert all(line["input"] == str(line["index"]) for line in lines)
    assert recorded(family.journal) == set(range(items))
    for run, item in family.runs.all():
        assert int(item) not in known[int(run) - 1], f"{item} was recorded, and ran again"
    assert known[-1], "nothing was recorded before the last run"


def test_killed_and_begun_again_every_item_is_there_once(tmp_path: Path) -> None:
    check(tmp_path, items=400, kills=3)


@pytest.mark.chaos
@pytest.mark.watchdog(900)
def test_twenty_kills_over_ten_thousand_items(tmp_path: Path) -> None:
    check(tmp_path, items=10_000, kills=20)
