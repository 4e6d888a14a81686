"""Runs the cells: interleaved rounds, each cell in a process group of its own, none for ever."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks.contract import Order, Outcome, Status
from benchmarks.suite import load_suite

ROOT = Path(__file__).parents[1]

GRACE = 5.0
"""Seconds that what a cell started may live on after it (resource trackers tidy up then)."""


@dataclass(frozen=True)
class Settings:
    """What to run.

    Attributes:
        rivals: their names, or dotted names of modules elsewhere.
        cases: their names.
        rounds: how often each cell is run.
        workers: how many workers each rival gets.
        scale: share of each case's full `n`.
        budget: seconds that one measurement may take before its `n` is reduced.
        limit: seconds after which a cell is killed.
        suite: where the rivals and cases are from.
    """

    rivals: Sequence[str]
    cases: Sequence[str]
    rounds: int = 5
    workers: int = 2
    scale: float = 1.0
    budget: float = 3.0
    limit: float = 60.0
    suite: str = "pools"

    def order(self, rival: str, case: str) -> Order:
        """The order for one cell."""
        n = max(1, round(load_suite(self.suite).cases[case].n * self.scale))
        return Order(self.suite, rival, case, self.workers, n, self.budget)


@dataclass(frozen=True)
class Cell:
    """One rival doing one case in one round."""

    round: int
    case: str
    rival: str
    outcome: Outcome


def rotated(names: Sequence[str], by: int) -> list[str]:
    """Each round begins with another one, so that nobody always profits from its place."""
    by %= len(names)
    return [*names[by:], *names[:by]]


def run(settings: Settings, on_cell: Callable[[Cell], object] = lambda cell: None) -> list[Cell]:
    """Run all cells, and tell `on_cell` of each.

    What is not installed is tried once; what is not offered or hung is not tried again either.
    """
    cells: list[Cell] = []
    for cell in _cells(settings):
        cells.append(cell)
        on_cell(cell)
    return cells


def _cells(settings: Settings) -> Iterator[Cell]:
    missing: set[str] = set()
    hopeless: set[tuple[str, str]] = set()
    for number in range(1, settings.rounds + 1):
        for case in settings.cases:
            for rival in rotated(settings.rivals, number - 1):
                if rival in missing or (rival, case) in hopeless:
                    continue
                outcome = run_cell(settings.order(rival, case), settings.limit)
                if outcome.status is Status.NOT_INSTALLED:
                    missing.add(rival)
                elif outcome.status in (Status.NOT_OFFERED, Status.HUNG):
                    hopeless.add((rival, case))
                yield Cell(number, case, rival, outcome)


@dataclass(frozen=True)
class Ended:
    """How a cell's process ended.

    Attributes:
        answer: what it left, if it got so far.
        in_time: whether it ended by itself.
        exitcode: its own; of no interest if it was killed.
        last: the last line that it or its workers printed, as a list of one; else empty.
    """

    answer: str | None
    in_time: bool
    exitcode: int
    last: list[str]


def run_apart(module: str, order: str, limit: float) -> Ended:
    """Run a cell's module in a new process; it and all that it started are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as directory:
        answer, output = Path(directory, "outcome"), Path(directory, "output")
        command = [sys.executable, "-m", module, order, str(answer)]
        with output.open("wb") as sink:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )
        try:
            ended = _has_ended(process.pid, limit)
            if ended:
                _await_group(process.pid, GRACE)
        finally:
            # The process is not reaped yet: its group's number can not be anybody else's.
            os.killpg(process.pid, signal.SIGKILL)
            exitcode = process.wait()
        return Ended(
            answer.read_text() if answer.exists() else None,
            ended,
            exitcode,
            output.read_text(errors="replace").strip().splitlines()[-1:],
        )


def trouble(ended: Ended, limit: float) -> tuple[Status, str] | None:
    """What is wrong with a cell's end, whatever it answered; None if nothing is."""
    if not ended.in_time:
        what = "no result" if ended.answer is None else "its workers did not end"
        return Status.HUNG, f"{what} within {limit:g} s; killed"
    if ended.exitcode:
        return Status.FAILED, ": ".join([f"exit code {ended.exitcode}", *ended.last])
    return None


def run_cell(order: Order, limit: float) -> Outcome:
    """Run one cell of a suite."""
    ended = run_apart("benchmarks.cell", json.dumps(asdict(order)), limit)
    answer = ended.answer
    outcome = Outcome.from_json(json.loads(answer)) if answer else Outcome(Status.FAILED)
    wrong = trouble(ended, limit)
    if wrong and (wrong[0] is Status.HUNG or not outcome.reason):
        return replace(outcome, status=wrong[0], reason=wrong[1])
    return outcome


def _has_ended(pid: int, timeout: float) -> bool:
    """Wait for a child's end without reaping it."""
    pidfd = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        return bool(poll.poll(timeout * 1000))
    finally:
        os.close(pidfd)


def _await_group(group: int, timeout: float) -> None:
    """Wait until nobody in the process group is alive, or time is up."""
    deadline = time.monotonic() + timeout
    while _alive_in(group) and time.monotonic() < deadline:
        time.sleep(0.01)


def _alive_in(group: int) -> bool:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, _, pgrp = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
            except OSError:  # it has just ended
                continue
            if int(pgrp) == group and state != "Z":
                return True
    return False
