"""Who is killed, in which way, at which moment, under which start method: every cell of the table.

Each time: nobody hangs, whoever waits sees the right exit code, a pool loses the one task that the
victim ran and goes on. That nothing stays behind is what the leak check says, around each cell.
"""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from procession import context
from procession.errors.pool import InitializerFailed, WorkerDied
from tests.lifetimes import victims
from tests.lifetimes.stages import EXIT_CODE, Stage
from tests.plugins.scripts import LIMIT
from tests.pool.gates import error_of

# What is sent from outside, and what the victim does itself when it hears the word.
SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "SIGSEGV": signal.SIGSEGV}
WORDS = ("exit", "descriptors")
MOMENTS = ("starting", "idle", "running", "exiting")


class Cell(NamedTuple):
    """One of the table."""

    method: str
    end: str
    moment: str

    def strike(self, pid: int, stage: Stage) -> None:
        """End the victim, which has just told its pid."""
        if self.end in SIGNALS:
            os.kill(pid, SIGNALS[self.end])
        else:
            stage.say(self.end)

    @property
    def exitcode(self) -> int:
        """What whoever waits for the victim is to see."""
        if self.end == "exit":
            return EXIT_CODE
        if self.end == "descriptors":
            # What an exit function raises is reported, and changes nothing.
            return 0 if self.moment == "exiting" else 1
        return -SIGNALS[self.end]


def _cells() -> Iterator[Any]:
    for cell in itertools.starmap(
        Cell, itertools.product(victims.METHODS, (*SIGNALS, *WORDS), MOMENTS)
    ):
        # Who sleeps in our code does not do anything.
        if cell.end in WORDS and cell.moment == "idle":
            continue
        # A fresh interpreter each takes its time; what happens in it does not depend on the signal.
        is_long = cell.method == "spawn" and cell.end in ("SIGTERM", "SIGSEGV")
        yield pytest.param(cell, id="-".join(cell), marks=[pytest.mark.chaos] if is_long else [])


CELLS = list(_cells())


@pytest.mark.parametrize("cell", CELLS)
def test_a_child(cell: Cell, stage: Stage) -> None:
    child = victims.child_at(cell.moment, cell.end, cell.method, stage)
    assert child.exitcode is None
    assert stage.arrival() == child.pid
    cell.strike(child.pid, stage)
    child.join(LIMIT)
    assert child.exitcode == cell.exitcode
    child.close()


@pytest.mark.parametrize("cell", CELLS)
def test_a_grandchild(cell: Cell, make_stage: Callable[[], Stage]) -> None:
    outer, stage = make_stage(), make_stage()
    mp: Any = context.get_context(cell.method)
    child = mp.Process(target=victims.parent_of, args=(cell.moment, cell.end, cell.method))
    child._args += (outer, stage)
    child.start()
    cell.strike(stage.arrival(), stage)
    assert int(outer.news()) == cell.exitcode
    child.join(LIMIT)
    assert child.exitcode == 0
    child.close()


@pytest.mark.parametrize("cell", CELLS)
def test_a_worker(cell: Cell, make_stage: Callable[[], Stage]) -> None:
    stage = make_stage()
    mp: Any = context.get_context(cell.method)
    _WORKER_TESTS[cell.moment](cell, mp, stage)


def _starting_worker(cell: Cell, mp: Any, stage: Stage) -> None:
    with mp.Pool(1, initializer=victims.reach, initargs=(stage,)) as pool:
        result = pool.apply_async(victims.square, (3,))
        cell.strike(stage.arrival(), stage)
        if cell.end == "descriptors":  # then the initializer has raised, and would again
            assert isinstance(error_of(result), InitializerFailed)
        else:
            stage.arrival()
            stage.say("go")
            assert result.get(LIMIT) == 9
    pool.join()


def _idle_worker(cell: Cell, mp: Any, stage: Stage) -> None:
    with mp.Pool(1) as pool:
        pid = pool.apply(victims.pid)
        cell.strike(pid, stage)
        # It may claim the task before the signal reaches it, but then it does not get far.
        results = [pool.apply_async(victims.pid) for _ in range(3)]
        errors = [error for result in results if (error := _death(result)) is not None]
        assert len(errors) <= 1
        assert pool.apply(victims.pid) != pid
    pool.join()


def _death(result: Any) -> WorkerDied | None:
    try:
        result.get(LIMIT)
    except WorkerDied as error:
        return error
    return None


def _running_worker(cell: Cell, mp: Any, stage: Stage) -> None:
    task = victims.reach if cell.end in WORDS else victims.spin
    with mp.Pool(1) as pool:
        results = [pool.apply_async(victims.square, (x,)) for x in range(3)]
        victim = pool.apply_async(task, (stage,))
        results += [pool.apply_async(victims.square, (x,)) for x in range(3)]
        cell.strike(stage.arrival(), stage)
        error = error_of(victim)
        if cell.end == "descriptors":
            assert isinstance(error, OSError)
        else:
            assert isinstance(error, WorkerDied)
            assert error.exitcode == cell.exitcode
        assert [result.get(LIMIT) for result in results] == [0, 1, 4, 0, 1, 4]
        assert pool.map(victims.square, range(10)) == [x * x for x in range(10)]
    pool.join()


def _exiting_worker(cell: Cell, mp: Any, stage: Stage) -> None:
    pool = mp.Pool(1, initializer=victims.reach_at_exit, initargs=(stage,))
    result = pool.apply_async(victims.square, (3,))
    pool.close()
    cell.strike(stage.arrival(), stage)
    pool.join()
    assert result.get(0) == 9


_WORKER_TESTS = {
    "starting": _starting_worker,
    "idle": _idle_worker,
    "running": _running_worker,
    "exiting": _exiting_worker,
}
