"""A killer every 20 ms: with retries all results are right; without, only what it hit is lost.

Each task notes its beginning and its end in a file of its worker's. So it is known afterwards what
was run, how often, and what each worker was at when it was killed.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from procession._core import validate
from tests.field.doors import Executor, Pool, mp, outcome
from tests.field.killing import killer

TASKS = {"short": 3000, "long": 100_000}[os.environ.get("PROCESSION_CHAOS", "short")]
QUICK_TASKS = 2000
WORKERS = 4
PAUSE = 0.02
"""Seconds between two kills."""

_notes: dict[int, int] = {}


def _note(folder: str, text: str) -> None:
    pid = os.getpid()
    if pid not in _notes:
        path = os.path.join(folder, str(pid))
        _notes[pid] = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(_notes[pid], text.encode())


def _work(item: tuple[str, int]) -> int:
    """A task of about a sixth of a millisecond."""
    folder, x = item
    _note(folder, f"{x}\n")
    until = time.perf_counter_ns() + 150_000
    while time.perf_counter_ns() < until:
        pass
    _note(folder, "end\n")
    return 3 * x + 1


class Account(NamedTuple):
    """What the workers noted."""

    runs: Counter[int]
    cut_off: set[int]  # begun, and not ended
    last: set[int]  # the last that a worker began

    @classmethod
    def read(cls, folder: Path) -> Account:
        runs: Counter[int] = Counter()
        cut_off, last = set(), set()
        for file in folder.iterdir():
            lines = file.read_text().splitlines()
            begun = [int(line) for line in lines if line != "end"]
            if not begun:  # killed before its first note
                continue
            runs.update(begun)
            last.add(begun[-1])
            if lines[-1] != "end":
                cut_off.add(begun[-1])
            assert lines.count("end") >= len(begun) - 1  # one at a time
        return cls(runs, cut_off, last)


def _call(kind: str, made: Any, items: list[tuple[str, int]]) -> list[Any]:
    """An outcome for each item, in order."""
    if kind == "single":
        results = [made.apply_async(_work, (item,)) for item in items]
        return [outcome(result.get, mp.WorkerDied) for result in results]
    if kind == "futures":
        futures = [made.submit(_work, item) for item in items]
        return [outcome(future.result, mp.WorkerDied) for future in futures]
    stream = getattr(made.options(errors="return"), kind)(_work, items)
    return list(stream)


def _run(kind: str, folder: Path, tasks: int, seed: int, **options: Any) -> tuple[list[Any], int]:
    """The outcomes, and how many workers were killed meanwhile."""
    open_one = partial(Executor if kind == "futures" else Pool, WORKERS, **options)
    with open_one() as made, killer(seed, PAUSE) as killed:
        outcomes = _call(kind, made, [(str(folder), x) for x in range(tasks)])
    if kind != "futures":
        made.join()
    assert validate() is None
    return outcomes, len(killed)


def _check_with_retries(kind: str, folder: Path, tasks: int) -> None:
    outcomes, killed = _run(kind, folder, tasks, seed=5, retries=3)
    assert outcomes == [3 * x + 1 for x in range(tasks)]
    account = Account.read(folder)
    assert set(account.runs) == set(range(tasks))
    assert sum(account.runs.values()) - tasks <= killed  # nothing but what was hit ran again
    assert max(account.runs.values()) <= 4


def _check_without(kind: str, folder: Path, tasks: int) -> None:
    outcomes, killed = _run(kind, folder, tasks, seed=6)
    failed = {x for x, found in enumerate(outcomes) if isinstance(found, mp.WorkerDied)}
    values = [found for found in outcomes if not isinstance(found, mp.WorkerDied)]
    assert values == [3 * x + 1 for x in range(tasks) if x not in failed]
    account = Account.read(folder)
    assert max(account.runs.values()) == 1  # none was run twice
    assert len(failed) <= killed
    assert account.cut_off <= failed  # whoever was hit has failed
    # Else it was at its very first or very last step: nothing was noted yet, or all.
    assert failed <= account.last | (set(range(tasks)) - set(account.runs))


CALLS = pytest.mark.parametrize("kind", ["single", "futures", "map", "imap"])


@pytest.mark.parametrize("kind", ["single", "map"])
def test_with_retries_nothing_is_lost(kind: str, tmp_path: Path) -> None:
    _check_with_retries(kind, tmp_path, QUICK_TASKS)


@pytest.mark.parametrize("kind", ["futures", "imap"])
def test_without_only_what_was_hit_is_lost(kind: str, tmp_path: Path) -> None:
    _check_without(kind, tmp_path, QUICK_TASKS)


@pytest.mark.chaos
@pytest.mark.watchdog(1200)
@CALLS
def test_long_with_retries_nothing_is_lost(kind: str, tmp_path: Path) -> None:
    _check_with_retries(kind, tmp_path, TASKS)


@pytest.mark.chaos
@pytest.mark.watchdog(1200)
@CALLS
def test_long_without_only_what_was_hit_is_lost(kind: str, tmp_path: Path) -> None:
    _check_without(kind, tmp_path, TASKS)
