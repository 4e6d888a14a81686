"""What goes wrong in a call of ``Parallel``, and that the next call works."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import select
import signal
import threading
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from joblib import Parallel, delayed, parallel_config

import procession.joblib
from procession import WorkerDied
from tests.joblib.work import (
    die_at,
    die_once,
    fail_at,
    fail_when_others_run,
    pid,
    say_and_sleep,
    square,
    wait_for,
)

pytestmark = pytest.mark.scale

TWO = partial(Parallel, n_jobs=2, backend="procession", start_method="fork")
KINDS = ["list", "generator", "generator_unordered"]


def works() -> None:
    assert TWO()(delayed(square)(x) for x in range(5)) == [0, 1, 4, 9, 16]


def run(kind: str, tasks: Any, **words: Any) -> list[Any]:
    return list(TWO(return_as=kind, **words)(tasks))


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_task_raises_is_raised_and_tells_where(kind: str) -> None:
    with pytest.raises(KeyError, match="3") as caught:
        run(kind, (delayed(fail_at)(3, x) for x in range(20)))
    assert "in fail_at" in str(caught.value.__cause__)
    works()


@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_that_dies_is_named(kind: str) -> None:
    with pytest.raises(WorkerDied, match=r"killed by SIGKILL\) while it ran die_at") as caught:
        run(kind, (delayed(die_at)(3, x) for x in range(20)), batch_size=1)
    assert isinstance(caught.value, BrokenProcessPool)
    assert caught.value.exitcode == -signal.SIGKILL
    works()


def test_a_batch_is_named_by_its_tasks() -> None:
    with pytest.raises(WorkerDied, match=r"a batch of 2: die_at\(…\), …"):
        TWO(batch_size=2)(delayed(die_at)(3, x) for x in range(8))


@pytest.mark.parametrize("kind", KINDS)
def test_retries_survive_a_death(kind: str, tmp_path: Path) -> None:
    path = str(tmp_path / "died")
    with parallel_config(backend="procession", start_method="fork", n_jobs=2, retries=1):
        found = Parallel(return_as=kind)(delayed(die_once)(path, x) for x in range(20))
        assert sorted(found) == [*range(20)]


@pytest.mark.parametrize("kind", KINDS)
def test_all_workers_die_and_no_call_hangs(kind: str) -> None:
    for _ in range(3):
        with pytest.raises(WorkerDied):
            run(kind, (delayed(die_at)(x, x) for x in range(8)), batch_size=1)
    works()


def begun(folder: Path) -> list[int]:
    """The processes of the tasks that have begun."""
    return [int(each.name.rpartition("-")[2]) for each in folder.glob("begun-*")]


def is_gone(process: int) -> bool:
    """Whether a process has ended; waits for that."""
    try:
        watched = os.pidfd_open(process)
    except ProcessLookupError:
        return True
    try:
        poll = select.poll()
        poll.register(watched, select.POLLIN)
        return bool(poll.poll(30_000))
    finally:
        os.close(watched)


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_ends_at_once_what_else_runs(kind: str, tmp_path: Path) -> None:
    tasks = (delayed(fail_when_others_run)(str(tmp_path), 1, x) for x in (1, 0, 2, 3))
    with pytest.raises(ValueError, match="the first has failed"):
        run(kind, tasks, batch_size=1, pre_dispatch="all")
    assert all(map(is_gone, begun(tmp_path)))
    works()


def test_an_error_leaves_the_tasks_of_other_calls_alone(tmp_path: Path) -> None:
    pool = {"n_jobs": 3, "backend": "procession", "batch_size": 1}
    other = Parallel(**pool, return_as="generator")(
        delayed(wait_for)(str(tmp_path / "go"), x) for x in range(2)
    )
    with pytest.raises(KeyError):
        Parallel(**pool)(delayed(fail_at)(0, x) for x in range(3))
    (tmp_path / "go").touch()
    assert list(other) == [0, 1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_task_that_takes_too_long_is_ended(kind: str, tmp_path: Path) -> None:
    with pytest.raises(multiprocessing.TimeoutError):
        run(
            kind,
            (delayed(say_and_sleep)(str(tmp_path), x) for x in range(2)),
            timeout=0.2,
            batch_size=1,
        )
    assert all(map(is_gone, begun(tmp_path)))
    works()


def test_a_time_limit_is_for_each_batch() -> None:
    assert TWO(timeout=30, batch_size=1)(delayed(square)(x) for x in range(20)) == [
        x * x for x in range(20)
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_what_can_not_be_pickled_is_an_error(kind: str) -> None:
    lock = threading.Lock()
    with pytest.raises((TypeError, pickle.PicklingError), match="pickle"):
        run(kind, (delayed(square)(lock if x == 7 else x) for x in range(20)))
    works()


@pytest.mark.parametrize("kind", KINDS)
def test_a_result_that_can_not_be_pickled_is_an_error(kind: str) -> None:
    with pytest.raises(Exception, match="pickle"):
        run(kind, (delayed(threading.Lock)() for _ in range(3)))
    works()


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_source_of_tasks_raises_is_raised(kind: str) -> None:
    def source() -> Iterator[Any]:
        for x in range(20):
            if x == 9:
                raise LookupError("no more tasks")
            yield delayed(square)(x)

    with pytest.raises(LookupError, match="no more tasks"):
        run(kind, source(), batch_size=1)
    works()


@pytest.mark.parametrize("kind", KINDS)
def test_a_task_that_exits_is_an_error(kind: str) -> None:
    with pytest.raises(SystemExit):
        run(kind, (delayed(exit)(3) for _ in range(3)))
    works()


def test_an_initializer_that_fails_is_told() -> None:
    with (
        parallel_config(
            backend="procession",
            start_method="fork",
            n_jobs=2,
            initializer=fail_at,
            initargs=(0, 0),
        ),
        pytest.raises(BrokenProcessPool, match="initializer"),
    ):
        Parallel()(delayed(square)(x) for x in range(5))
    works()


def test_a_context_is_usable_behind_an_error() -> None:
    with TWO() as parallel:
        for _ in range(3):
            with pytest.raises(KeyError):
                parallel(delayed(fail_at)(3, x) for x in range(9))
            assert parallel(delayed(square)(x) for x in range(3)) == [0, 1, 4]


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupt_ends_the_call_and_its_tasks(kind: str, tmp_path: Path) -> None:
    def interrupt() -> None:
        while len(begun(tmp_path)) < 2:
            stop.wait(0.001)
        os.kill(os.getpid(), signal.SIGINT)

    stop = threading.Event()
    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run(kind, (delayed(say_and_sleep)(str(tmp_path), x) for x in range(2)), batch_size=1)
    thread.join()
    assert all(map(is_gone, begun(tmp_path)))
    works()


def test_pools_that_are_ended_under_a_generator_still_give_its_results() -> None:
    found = TWO(return_as="generator", batch_size=1)(delayed(square)(x) for x in range(20))
    first = next(found)
    procession.joblib.shutdown()
    assert [first, *found] == [x * x for x in range(20)]
    works()


def test_a_pool_that_was_killed_whole_is_replaced() -> None:
    for process in set(TWO(batch_size=1)(delayed(pid)() for _ in range(20))):
        os.kill(process, signal.SIGKILL)
    works()
