"""A worker ends under its task, on each engine.

Three kinds of engines there are: those whose workers are threads, which end with this process and
not before; those that break with a worker (``SURVIVES`` is missing), and break the pool; and those
that go on.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any

import pytest

import procession
from procession._backends.abilities import Ability
from procession.futures import Executor
from procession.pool import Pool
from tests.contract.engines import Setting
from tests.contract.tasks import (
    Signals,
    double,
    end_process,
    end_until,
    identity,
    note,
    wait_for,
    where,
)


def _kill_yourself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


_ENDS: list[tuple[Callable[..., None], tuple[int, ...]]] = [
    (end_process, (3,)),
    (_kill_yourself, ()),
]


def _has_deaths(setting: Setting, pool: Pool) -> bool:
    """Whether a worker can end by itself; if not, that is seen to."""
    if setting.has_processes:
        return True
    assert pool.apply(where) == os.getpid()
    return False


@pytest.mark.parametrize(("end", "args"), _ENDS)
def test_a_death_of_a_task(setting: Setting, pool: Pool, end: Any, args: Any) -> None:
    if not _has_deaths(setting, pool):
        return
    result = pool.apply_async(end, args)
    with pytest.raises(BrokenProcessPool) as caught:
        result.get()
    error = caught.value
    if not setting.can(Ability.SURVIVES):
        assert isinstance(error, procession.EngineLost)
        assert error.__cause__ is not None
        with pytest.raises(procession.EngineLost):
            pool.apply(double, (1,))
        return
    assert isinstance(error, procession.WorkerDied)
    assert end.__name__ in str(error)
    if setting.can(Ability.PLACE):
        assert error.pid != os.getpid()
    assert pool.apply(double, (1,)) == 2
    assert pool.map(double, range(10)) == list(range(0, 20, 2))


def test_a_death_in_a_chunk(setting: Setting, pool: Pool, signals: Signals) -> None:
    """It costs the item, or all items of the chunk where nobody knows which it was."""
    if not _has_deaths(setting, pool):
        return
    deadly = partial(end_until, signals, 100, 5)
    if not setting.can(Ability.SURVIVES):
        with pytest.raises(procession.EngineLost):
            pool.options(errors="return").map(deadly, range(12), 4)
        return
    values = pool.options(errors="return").map(deadly, range(12), 4)
    assert isinstance(values[5], procession.WorkerDied)
    assert values[:4] + values[8:] == [0, 1, 2, 3, 8, 9, 10, 11]
    if setting.can(Ability.EXACT_DEATH):
        assert values[4:5] + values[6:8] == [4, 6, 7]
    else:
        assert all(isinstance(value, procession.WorkerDied) for value in values[4:8])
        assert values[4].chunk == 4
        assert "all 4 items of its chunk share its fate" in str(values[4])
        assert "no other task" not in str(values[4])
        assert [value.item for value in values[4:8]] == [4, 5, 6, 7]


@pytest.mark.parametrize("chunksize", [1, 4])
def test_a_death_that_is_tried_again(
    setting: Setting, pool: Pool, signals: Signals, chunksize: int
) -> None:
    if not _has_deaths(setting, pool):
        return
    patient = pool.options(retries=2)
    deadly = partial(end_until, signals, 1, 5)
    if not setting.can(Ability.SURVIVES):
        with pytest.raises(procession.EngineLost):
            patient.map(deadly, range(12), chunksize)
        return
    assert patient.map(deadly, range(12), chunksize) == list(range(12))
    assert signals.noted() == ["5", "5"]
    assert list(patient.imap(partial(end_until, signals, 3, 5), range(12), chunksize)) == [
        *range(12)
    ]


def test_a_task_that_kills_all_its_workers(setting: Setting, pool: Pool) -> None:
    if not _has_deaths(setting, pool):
        return
    result = pool.options(on_death="retry").apply_async(end_process, (3,))
    with pytest.raises(BrokenProcessPool) as caught:
        result.get()
    if setting.can(Ability.SURVIVES):
        assert isinstance(caught.value, procession.WorkerDied)
        assert caught.value.quarantined
        assert caught.value.attempts == 3


def test_a_death_that_breaks_the_pool(setting: Setting, pool: Pool, signals: Signals) -> None:
    if not _has_deaths(setting, pool):
        return
    other = pool.apply_async(wait_for, (signals, "began", "end"))
    signals.wait("began")
    result = pool.options(on_death="break").apply_async(end_process, (3,))
    with pytest.raises(BrokenProcessPool):
        result.get()
    with pytest.raises(BrokenProcessPool):
        other.get()
    with pytest.raises(BrokenProcessPool):
        pool.apply(double, (1,))


def test_a_death_does_not_harm_others(setting: Setting, pool: Pool, signals: Signals) -> None:
    if not _has_deaths(setting, pool):
        return
    other = pool.apply_async(wait_for, (signals, "began", "end"))
    signals.wait("began")
    with pytest.raises(BrokenProcessPool):
        pool.apply(end_process, (3,))
    signals.set("end")
    if setting.can(Ability.SURVIVES):
        assert other.get() == "done"
    else:
        with pytest.raises(procession.EngineLost):
            other.get()


def test_a_death_under_a_future(
    setting: Setting, make_executor: Callable[..., Executor], pool: Pool
) -> None:
    if not _has_deaths(setting, pool):
        return
    executor = make_executor()
    future = executor.submit(end_process, 3)
    assert isinstance(future.exception(), BrokenProcessPool)
    if setting.can(Ability.SURVIVES):
        assert executor.submit(double, 2).result() == 4
    else:
        with pytest.raises(BrokenProcessPool):
            executor.submit(double, 2).result()


def test_what_was_done_before_a_death_is_not_lost(
    setting: Setting, pool: Pool, signals: Signals
) -> None:
    if not _has_deaths(setting, pool):
        return
    done = pool.map_async(partial(note, signals), range(10))
    done.wait()
    with pytest.raises(BrokenProcessPool):
        pool.apply(end_process, (3,))
    assert done.get() == list(range(10))


def test_items_behind_a_death_are_run(setting: Setting, pool: Pool, signals: Signals) -> None:
    if not _has_deaths(setting, pool):
        return
    results = pool.imap(partial(end_until, signals, 100, 3), range(8))
    got: list[Any] = []
    for _ in range(8):
        try:
            got.append(results.next())
        except procession.WorkerDied as error:
            got.append(error.item)
        except procession.EngineLost:
            break
    results.close()
    if setting.can(Ability.SURVIVES):
        assert got == list(range(8))
        assert pool.map(identity, range(3)) == [0, 1, 2]
