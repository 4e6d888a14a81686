"""What the standard library's executor and ours have in common."""

from __future__ import annotations

import concurrent.futures
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import (
    ALL_COMPLETED,
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
    CancelledError,
    as_completed,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import pytest

from procession.futures import Executor
from tests.futures.gates import Stage


def _square(x: int) -> int:
    return x * x


def _add(x: int, y: int = 0, *, z: int = 0) -> int:
    return x + 10 * y + 100 * z


def _refuse(x: Any) -> Any:
    raise LookupError(x)


def _time_out() -> None:
    raise TimeoutError("of the task's own")


def _fail_at(bad: int, x: int) -> int:
    if x == bad:
        raise LookupError(x)
    return x


def _refuse_to_start() -> None:
    raise LookupError("initializer")


class _Unpicklable:
    def __reduce__(self) -> Any:
        raise ValueError("not me")


def _with_children() -> tuple[list[int], bool]:
    import multiprocessing

    with multiprocessing.get_context("fork").Pool(1) as pool:
        squares = pool.map(_square, range(3))
    return squares, multiprocessing.current_process().daemon


# ---- one call


def test_submit_passes_arguments(any_executor: Any) -> None:
    assert any_executor.submit(_add, 1).result() == 1
    assert any_executor.submit(_add, 1, 2, z=3).result() == 321
    assert any_executor.submit(dict, self=1, fn=2).result() == {"self": 1, "fn": 2}


def test_a_future_is_one_of_concurrent_futures(any_executor: Any) -> None:
    assert isinstance(any_executor, concurrent.futures.Executor)
    future = any_executor.submit(_square, 3)
    assert isinstance(future, concurrent.futures.Future)
    assert future.result(timeout=None) == 9
    assert future.result(0) == 9
    assert future.exception() is None
    assert (future.done(), future.running(), future.cancelled()) == (True, False, False)
    assert not future.cancel()


def test_a_task_may_use_the_standard_librarys_processes(any_executor: Any) -> None:
    assert any_executor.submit(_with_children).result() == ([0, 1, 4], False)


def test_an_exception_is_raised_or_given(any_executor: Any) -> None:
    future = any_executor.submit(_refuse, 3)
    with pytest.raises(LookupError, match="3"):
        future.result()
    error = future.exception()
    assert type(error) is LookupError
    assert "_refuse" in str(error.__cause__)


def test_many_results_come_each_to_its_own(any_executor: Any) -> None:
    futures = [any_executor.submit(_square, x) for x in range(300)]
    assert [future.result() for future in reversed(futures)] == [
        x * x for x in reversed(range(300))
    ]


def test_a_timeout_is_told_from_one_of_the_task(stage: Stage, any_executor: Any) -> None:
    future = any_executor.submit(stage.perform, 5)
    for ask in (future.result, future.exception):
        with pytest.raises(TimeoutError):
            ask(timeout=0.01)
        with pytest.raises(TimeoutError):
            ask(timeout=-1)
    assert not future.done()
    stage.let_end()
    assert future.result() == 5
    own = any_executor.submit(_time_out)
    with pytest.raises(TimeoutError, match="of the task's own"):
        own.result(timeout=60)
    assert isinstance(own.exception(), TimeoutError)


def test_what_can_not_be_pickled_is_its_futures_error(any_executor: Any) -> None:
    bad = any_executor.submit(_square, _Unpicklable())
    with pytest.raises(ValueError, match="not me"):
        bad.result()
    assert any_executor.submit(_square, 4).result() == 16


def test_running(stage: Stage, any_executor: Any) -> None:
    future = any_executor.submit(stage.perform)
    stage.await_beginning()
    assert (future.running(), future.done()) == (True, False)
    stage.let_end()
    future.result()
    assert (future.running(), future.done()) == (False, True)


def test_what_waits_can_be_cancelled(stage: Stage, make_executor: Callable[..., Any]) -> None:
    with make_executor(1) as executor:
        running = executor.submit(stage.perform, 1)
        stage.await_beginning()
        futures = [executor.submit(_square, x) for x in range(20)]
        called: list[Any] = []
        futures[-1].add_done_callback(called.append)
        assert futures[-1].cancel()
        assert futures[-1].cancel()
        assert called == [futures[-1]]
        assert (futures[-1].cancelled(), futures[-1].done()) == (True, True)
        for ask in (futures[-1].result, futures[-1].exception):
            with pytest.raises(CancelledError):
                ask()
        stage.let_end()
        assert wait(futures).not_done == set()
        assert running.result() == 1
        assert [future.result() for future in futures[:-1]] == [x * x for x in range(19)]


def test_a_dead_worker_is_a_broken_process_pool(any_executor: Any) -> None:
    future = any_executor.submit(os._exit, 3)
    with pytest.raises(BrokenProcessPool):
        future.result()
    assert isinstance(future.exception(), BrokenProcessPool)


def test_an_initializer_that_fails(make_executor: Callable[..., Any]) -> None:
    logging.getLogger("concurrent.futures").disabled = True
    try:
        with make_executor(2, _refuse_to_start) as executor:
            future = executor.submit(_square, 1)
            told = threading.Event()
            future.add_done_callback(lambda _: told.set())
            with pytest.raises(BrokenProcessPool):
                future.result()
            assert told.wait(60)
            with pytest.raises(BrokenProcessPool):
                executor.submit(_square, 1)
    finally:
        logging.getLogger("concurrent.futures").disabled = False


def test_an_initializer_is_called_with_its_arguments(make_executor: Callable[..., Any]) -> None:
    with make_executor(1, os.environ.__setitem__, ("SET_BY", "initializer")) as executor:
        assert executor.submit(os.getenv, "SET_BY").result() == "initializer"


# ---- many futures


@pytest.mark.parametrize("how", [ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION])
def test_wait_for_what_is_done_already(any_executor: Any, how: str) -> None:
    futures = [any_executor.submit(_square, x) for x in range(5)]
    for future in futures:
        future.result()
    assert wait(futures, return_when=how).done == set(futures)


def test_wait_for_all(any_executor: Any) -> None:
    futures = [any_executor.submit(_square, x) for x in range(200)]
    done, not_done = wait(futures)
    assert (len(done), len(not_done)) == (200, 0)
    assert sum(future.result() for future in done) == sum(x * x for x in range(200))


def test_wait_for_the_first(stage: Stage, any_executor: Any) -> None:
    slow = any_executor.submit(stage.perform)
    fast = any_executor.submit(_square, 2)
    assert wait([slow, fast], return_when=FIRST_COMPLETED) == ({fast}, {slow})
    assert wait([slow], timeout=0.01) == (set(), {slow})
    stage.let_end()
    assert wait([slow, fast]) == ({slow, fast}, set())


def test_wait_for_the_first_exception(stage: Stage, any_executor: Any) -> None:
    slow = any_executor.submit(stage.perform)
    stage.await_beginning()
    good, bad = any_executor.submit(_square, 2), any_executor.submit(_refuse, 2)
    assert wait([slow, good, bad], return_when=FIRST_EXCEPTION) == ({good, bad}, {slow})
    stage.let_end()


def test_as_completed_gives_each_once(stage: Stage, any_executor: Any) -> None:
    slow = any_executor.submit(stage.perform, 7)
    stage.await_beginning()
    fast = [any_executor.submit(_square, x) for x in range(50)]
    fast[0].result()
    completed = as_completed([slow, *fast, slow])
    assert {next(completed) for _ in fast} == set(fast)
    stage.let_end()
    assert list(completed) == [slow]


def test_as_completed_in_time(stage: Stage, any_executor: Any) -> None:
    slow = any_executor.submit(stage.perform)
    with pytest.raises(TimeoutError):
        list(as_completed([slow], timeout=0.01))
    stage.let_end()


def test_futures_of_several_executors(make_executor: Callable[..., Any]) -> None:
    threads = concurrent.futures.ThreadPoolExecutor(1)
    with make_executor(1) as one, make_executor(1) as other, threads:
        futures = [executor.submit(_square, 3) for executor in (one, other, threads) * 3]
        assert [future.result() for future in as_completed(futures)] == [9] * 9


# ---- callbacks


def test_callbacks_run_once_in_their_order(stage: Stage, any_executor: Any) -> None:
    future = any_executor.submit(stage.perform, 5)
    called: list[Any] = []
    all_called = threading.Event()
    for number in range(3):
        future.add_done_callback(lambda done, n=number: called.append((n, done.result())))
    future.add_done_callback(lambda _: all_called.set())
    assert called == []
    stage.let_end()
    assert all_called.wait(60)
    assert called == [(0, 5), (1, 5), (2, 5)]
    future.add_done_callback(lambda done: called.append(("late", done.result())))
    assert called[3:] == [("late", 5)]


def test_an_exception_in_a_callback_is_logged(
    any_executor: Any, caplog: pytest.LogCaptureFixture
) -> None:
    future = any_executor.submit(_square, 5)
    second = threading.Event()
    future.add_done_callback(_refuse)
    future.add_done_callback(lambda _: second.set())
    assert second.wait(60)
    assert future.result() == 25
    assert [record.name for record in caplog.records] == ["concurrent.futures"]
    assert "LookupError" in caplog.text
    caplog.clear()  # a record holds frames, and these the executor


def test_a_callback_may_submit(any_executor: Any) -> None:
    second: list[Any] = []
    submitted = threading.Event()

    def go_on(first: Any) -> None:
        second.append(any_executor.submit(_square, first.result()))
        submitted.set()

    any_executor.submit(_square, 2).add_done_callback(go_on)
    assert submitted.wait(60)
    assert second[0].result() == 16


# ---- map


@pytest.mark.parametrize("chunksize", [1, 2, 7, 100])
def test_map_keeps_the_order(any_executor: Any, chunksize: int) -> None:
    assert list(any_executor.map(_square, range(50), chunksize=chunksize)) == [
        x * x for x in range(50)
    ]
    assert list(any_executor.map(_add, [1, 2, 3], iter([4, 5]), chunksize=chunksize)) == [41, 52]
    assert list(any_executor.map(_square, [], chunksize=chunksize)) == []
    assert list(any_executor.map(_square, chunksize=chunksize)) == []


@pytest.mark.parametrize("chunksize", [1, 3])
def test_the_first_exception_ends_a_map(any_executor: Any, chunksize: int) -> None:
    results = any_executor.map(_fail_at, [4] * 9, range(9), chunksize=chunksize)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(LookupError, match="4"):
        list(results)
    assert list(results) == []


def test_a_map_in_time(stage: Stage, any_executor: Any) -> None:
    results = any_executor.map(stage.perform, [1, 2], timeout=0.05)
    with pytest.raises(TimeoutError):
        next(results)
    stage.let_end(2)


@pytest.mark.parametrize("chunksize", [0, -1])
def test_a_chunksize_below_one_is_refused(any_executor: Any, chunksize: int) -> None:
    with pytest.raises(ValueError, match="chunksize must be >= 1"):
        any_executor.map(_square, [1], chunksize=chunksize)


def test_a_changed_list_is_no_other_input(any_executor: Any) -> None:
    items = [*range(1000)]
    results = any_executor.map(_square, items)
    items.clear()
    assert sum(1 for _ in results) == 1000


# ---- the end


def test_nothing_is_taken_after_the_end(make_executor: Callable[..., Any]) -> None:
    for use in (True, False):
        executor = make_executor(1)
        if use:
            assert executor.submit(_square, 2).result() == 4
        executor.shutdown()
        executor.shutdown(wait=False)
        with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
            executor.submit(_square, 2)
        with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
            executor.map(_square, [2])


@pytest.mark.parametrize("wait_for_it", [True, False])
def test_what_was_submitted_is_done_at_the_end(
    make_executor: Callable[..., Any], wait_for_it: bool
) -> None:
    executor = make_executor(2)
    futures = [executor.submit(_square, x) for x in range(100)]
    mapped = executor.map(_square, range(1000), chunksize=10)
    executor.shutdown(wait=wait_for_it)
    assert [future.result() for future in futures] == [x * x for x in range(100)]
    assert list(mapped) == [x * x for x in range(1000)]
    executor.shutdown()


def test_cancel_futures_at_the_end(stage: Stage, make_executor: Callable[..., Any]) -> None:
    executor = make_executor(1)
    running = executor.submit(stage.perform, 3)
    stage.await_beginning()
    futures = [executor.submit(_square, x) for x in range(20)]
    executor.shutdown(wait=False, cancel_futures=True)
    stage.let_end()
    assert running.result() == 3
    cancelled = [future for future in futures if future.cancelled()]
    assert len(cancelled) > 10
    assert wait({*futures} - {*cancelled}).not_done == set()
    assert futures[-1] in cancelled


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"max_workers": 0}, ValueError, "max_workers must be greater than 0"),
        ({"max_workers": -1}, ValueError, "max_workers must be greater than 0"),
        ({"max_workers": "2"}, TypeError, "str"),
        ({"initializer": 5}, TypeError, "initializer must be a callable"),
        ({"max_tasks_per_child": "2"}, TypeError, "max_tasks_per_child must be an integer"),
        ({"max_tasks_per_child": 0}, ValueError, "max_tasks_per_child must be >= 1"),
    ],
)
def test_arguments_that_can_not_be(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    for kind in (concurrent.futures.ProcessPoolExecutor, Executor):
        with pytest.raises(error, match=message):
            kind(**arguments)
