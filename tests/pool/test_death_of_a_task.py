"""A worker that ends under its task costs that task and nothing else."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import pickle
import signal
import sys
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from typing import NoReturn

import pytest

from procession._core import arena_statistics, validate
from procession.errors.pool import WorkerDied
from procession.pool import Pool
from tests.pool.gates import Gate, children, error_of


def _killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _exits() -> None:
    os._exit(3)


def _segfaults() -> None:
    faulthandler.disable()  # the test runner's: it would print the stack
    ctypes.string_at(0)


def _aborts() -> None:
    faulthandler.disable()
    os.abort()


def _square(x: int) -> int:
    return x * x


@pytest.mark.parametrize(
    ("end", "exitcode", "name"),
    [
        (_killed, -signal.SIGKILL, "SIGKILL"),
        (_exits, 3, None),
        (_segfaults, -signal.SIGSEGV, "SIGSEGV"),
        (_aborts, -signal.SIGABRT, "SIGABRT"),
    ],
)
def test_death_is_reported_with_all_that_is_known(
    pool: Pool, end: Callable[[], None], exitcode: int, name: str | None
) -> None:
    with pytest.raises(WorkerDied) as caught:
        pool.apply(end)
    error = caught.value
    assert isinstance(error, BrokenProcessPool)
    assert error.pid not in {os.getpid(), pool.apply(os.getpid)}
    assert (error.exitcode, error.signal, error.item) == (exitcode, name, None)
    assert error.task == f"{end.__name__}()"
    how = f"killed by {name}" if name else f"exit code {exitcode}"
    assert str(error).startswith(
        f"worker {error.pid} died ({how}) while it ran {end.__name__}(); no other task is affected"
    )
    assert pool.map(_square, range(10)) == [x * x for x in range(10)]


def test_the_task_is_named_with_its_arguments(pool: Pool) -> None:
    def die(*args: object, **kwargs: object) -> None:
        os._exit(1)

    with pytest.raises(WorkerDied) as caught:
        pool.apply(die, (1, "two", b"x" * 1000), {"key": [3.0]})
    name = "test_the_task_is_named_with_its_arguments.<locals>.die"
    task = caught.value.task
    assert task.startswith(f"{name}(1, 'two', b'xxx")
    assert task.endswith("…, key=[3.0])")
    assert len(task) < 250


def test_worker_died_survives_pickling(pool: Pool) -> None:
    with pytest.raises(WorkerDied) as caught:
        pool.apply(_exits)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert type(copy) is WorkerDied
    assert str(copy) == str(caught.value)


@pytest.mark.parametrize("value", [None, 3, "text"])
def test_sys_exit_is_an_exception_and_no_death(value: object) -> None:
    with Pool(1) as pool:
        pid = pool.apply(os.getpid)
        with pytest.raises(SystemExit) as caught:
            pool.apply(sys.exit, (value,))
        assert caught.value.code == value
        assert pool.apply(os.getpid) == pid
    pool.join()


def test_keyboard_interrupt_in_a_task_is_its_exception(pool: Pool) -> None:
    def interrupt() -> NoReturn:
        raise KeyboardInterrupt("mine")

    with pytest.raises(KeyboardInterrupt, match="mine"):
        pool.apply(interrupt)
    assert pool.apply(_square, (3,)) == 9


def test_other_tasks_of_that_moment_succeed(gate: Gate, pool: Pool) -> None:
    def wait_and_answer(x: int) -> int:
        gate.pass_through()
        return x

    slow = pool.apply_async(wait_and_answer, (1,))
    dead = [pool.apply_async(_killed) for _ in range(5)]
    after = [pool.apply_async(_square, (x,)) for x in range(100)]
    for result in dead:
        assert isinstance(error_of(result), WorkerDied)
    gate.open()
    assert slow.get() == 1
    assert [result.get() for result in after] == [x * x for x in range(100)]


def test_all_workers_die_at_once(gate: Gate) -> None:
    def wait_and_die() -> None:
        gate.pass_through()
        _killed()

    with Pool(4) as pool:
        results = [pool.apply_async(wait_and_die) for _ in range(4)]
        queued = [pool.apply_async(_square, (x,)) for x in range(50)]
        gate.open(4)
        assert len({error_of(result).pid for result in results}) == 4
        assert [result.get() for result in queued] == [x * x for x in range(50)]
    pool.join()


def test_pool_keeps_its_size_however_often_workers_die() -> None:
    arrived, leave = Gate(), Gate()

    def meet() -> int:
        arrived.open()
        leave.pass_through()
        return os.getpid()

    with Pool(3) as pool:
        for _ in range(20):
            results = [pool.apply_async(_killed) for _ in range(3)]
            assert {type(error_of(result)) for result in results} == {WorkerDied}
        # Three tasks that wait for each other: they need three workers.
        meeting = [pool.apply_async(meet) for _ in range(3)]
        for _ in range(3):
            arrived.pass_through()
        leave.open(3)
        assert len({result.get() for result in meeting}) == 3
        assert pool._engine.channel.validate() is None
    pool.join()
    assert validate() is None
    arrived.close()
    leave.close()


def test_many_tasks_of_which_every_tenth_kills(pool: Pool) -> None:
    results = [
        pool.apply_async(_square, (x,)) if x % 10 else pool.apply_async(_exits) for x in range(300)
    ]
    for x, result in enumerate(results):
        if x % 10 == 0:
            assert isinstance(error_of(result), WorkerDied)
        else:
            assert result.get() == x * x


def test_idle_worker_killed_from_outside_costs_nothing(pool: Pool) -> None:
    for _ in range(10):
        pid = pool.apply(os.getpid)
        os.kill(pid, signal.SIGKILL)
        assert pool.map(_square, range(20)) == [x * x for x in range(20)]


def test_stopped_worker_is_waited_for_and_goes_on(pool: Pool) -> None:
    def stop() -> int:
        os.kill(os.getpid(), signal.SIGSTOP)
        return os.getpid()

    result = pool.apply_async(stop)
    others = [pool.apply(os.getpid) for _ in range(10)]
    assert not result.ready()
    stopped = children() - set(others)
    assert len(stopped) == 1
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)
    assert result.get() in stopped


def test_callback_of_a_dead_task_is_the_error_callback(pool: Pool) -> None:
    seen: list[BaseException] = []
    values: list[object] = []
    result = pool.apply_async(_killed, callback=values.append, error_callback=seen.append)
    assert isinstance(error_of(result), WorkerDied)
    assert [type(error) for error in seen] == [WorkerDied]
    assert values == []


def test_get_raises_the_same_death_again(pool: Pool) -> None:
    result = pool.apply_async(_killed)
    first = error_of(result)
    assert error_of(result) is first
    assert result.ready()
    assert not result.successful()


def test_blocks_of_the_dead_are_given_back(pool: Pool) -> None:
    pool.apply(_square, (1,))
    before = arena_statistics()["blocks"]

    def die_with(data: bytes) -> None:
        os._exit(len(data) % 7 + 1)

    for _ in range(5):
        with pytest.raises(WorkerDied):
            pool.apply(die_with, (bytes(1 << 20),))
    pool.map(_square, range(4))
    # The function's, and perhaps one of each worker's own: five of the dead would be more.
    assert arena_statistics()["blocks"] <= before + 3
