"""Deaths in code of the user's that is not the task's function, and between tasks."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

from procession.errors.pool import InitializerFailed, WorkerDied
from procession.pool import Pool
from tests.pool.gates import Gate, Log, children, error_of


def _kill(*_: object) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def _unkill(parent: int) -> Any:
    """For unpickling: kills any process but the one that pickled."""
    if os.getpid() != parent:
        _kill()
    return "harmless"


class KillsItsReader:
    """Kills the process that unpickles it."""

    def __reduce__(self) -> Any:
        return _kill, ()


class KillsItsWriter:
    """Kills the process that pickles it."""

    def __reduce__(self) -> Any:
        return _kill()


def _echo(value: Any) -> Any:
    return value


def _make(_: Any) -> KillsItsWriter:
    return KillsItsWriter()


class Fails(Exception):
    """Kills the process that pickles it."""

    def __reduce__(self) -> Any:
        return _kill()


def _fail(_: Any) -> None:
    raise Fails


def _calls() -> list[Callable[[Pool, Callable[[Any], Any], Any], Any]]:
    return [
        lambda pool, function, item: pool.apply(function, (item,)),
        lambda pool, function, item: pool.apply_async(function, (item,)).get(),
        lambda pool, function, item: pool.map(function, [item]),
        lambda pool, function, item: pool.starmap(function, [(item,)]),
        lambda pool, function, item: next(pool.imap(function, [item])),
        lambda pool, function, item: next(pool.imap_unordered(function, [item], 3)),
    ]


@pytest.mark.parametrize("call", _calls())
def test_death_while_arguments_are_unpickled(pool: Pool, call: Any) -> None:
    # This process names the task in the error: without unpickling what has just killed the worker.
    with pytest.raises(WorkerDied, match="_echo"):
        call(pool, _echo, KillsItsReader())
    assert pool.apply(_echo, (1,)) == 1


@pytest.mark.parametrize("call", _calls())
def test_death_while_the_result_is_pickled(pool: Pool, call: Any) -> None:
    with pytest.raises(WorkerDied, match="_make"):
        call(pool, _make, None)
    assert pool.apply(_echo, (1,)) == 1


@pytest.mark.parametrize("call", _calls())
def test_death_while_the_exception_is_pickled(pool: Pool, call: Any) -> None:
    with pytest.raises(WorkerDied, match="_fail"):
        call(pool, _fail, None)
    assert pool.apply(_echo, (1,)) == 1


def test_death_while_a_large_argument_is_unpickled(pool: Pool) -> None:
    with pytest.raises(WorkerDied, match="_echo"):
        pool.apply(_echo, ([bytes(1 << 20), KillsItsReader()],))
    assert pool.apply(_echo, (1,)) == 1


def test_the_name_of_a_task_shows_objects_without_making_them(pool: Pool) -> None:
    with pytest.raises(WorkerDied) as caught:
        pool.apply(_echo, ([KillsItsReader(), 2],))
    assert caught.value.task == "_echo([_kill(…), 2])"


def test_death_while_the_function_is_unpickled(pool: Pool) -> None:
    class Function:
        def __init__(self) -> None:
            self.parent = os.getpid()

        def __call__(self, value: Any) -> Any:
            return value

        def __reduce__(self) -> Any:
            return _unkill, (self.parent,)

    function = Function()
    with pytest.raises(WorkerDied):
        pool.apply(function, (1,))
    with pytest.raises(WorkerDied):
        pool.map(function, [1, 2])
    assert pool.apply(_echo, (1,)) == 1


def test_death_of_all_idle_workers(pool: Pool) -> None:
    for _ in range(10):
        for pid in children():
            os.kill(pid, signal.SIGKILL)
        assert pool.apply(_echo, (1,)) == 1


def test_tasks_queued_behind_a_dying_worker_are_run_once(gate: Gate, log: Log) -> None:
    def first() -> None:
        gate.pass_through()
        _kill()

    with Pool(1) as pool:
        dying = pool.apply_async(first)
        rest = [pool.apply_async(log.write, (x,)) for x in range(200)]
        gate.open()
        assert isinstance(error_of(dying), WorkerDied)
        for result in rest:
            result.get()
    pool.join()
    assert log.lines() == [str(x) for x in range(200)]


def test_death_between_close_and_join(gate: Gate) -> None:
    pool = Pool(2)

    def die() -> None:
        gate.pass_through()
        _kill()

    dying = [pool.apply_async(die) for _ in range(2)]
    rest = [pool.apply_async(_echo, (x,)) for x in range(50)]
    pool.close()
    gate.open(2)
    pool.join()
    assert [type(error_of(result)) for result in dying] == [WorkerDied] * 2
    assert [result.get() for result in rest] == list(range(50))


def test_every_worker_dies_after_close(pool: Pool) -> None:
    results = [pool.apply_async(_kill) for _ in range(30)]
    pool.close()
    pool.join()
    assert [type(error_of(result)) for result in results] == [WorkerDied] * 30


def _first_time_only(log: Log) -> None:
    """An initializer that kills the first five processes it runs in."""
    log.write("started")
    if len(log.lines()) <= 5:
        _kill()


def test_death_in_the_initializer_is_tried_again(log: Log) -> None:
    with Pool(2, _first_time_only, (log,)) as pool:
        assert pool.map(_echo, range(100)) == list(range(100))
    pool.join()
    assert len(log.lines()) >= 6


@pytest.mark.parametrize("processes", [1, 3])
def test_initializer_that_always_kills_breaks_the_pool(processes: int) -> None:
    pool = Pool(processes, _kill)
    with pytest.raises(InitializerFailed, match="before they are ready") as caught:
        pool.apply(_echo, (1,))
    assert "before it was ready: killed by SIGKILL" in str(caught.value.__cause__)
    with pytest.raises(InitializerFailed):
        pool.map(_echo, [1, 2])
    pool.close()
    pool.join()


def test_death_before_or_after_the_answer_is_one_outcome(pool: Pool) -> None:
    def leave_a_thread_that_ends_the_process() -> int:
        threading.Timer(0, os._exit, (9,)).start()
        return 1

    results = [pool.apply_async(leave_a_thread_that_ends_the_process) for _ in range(30)]
    pool.close()
    pool.join()
    for result in results:
        if not result.successful():
            assert error_of(result).exitcode == 9
