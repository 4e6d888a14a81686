"""The methods of an executor, on each engine."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Iterator
from itertools import count, islice
from typing import Any

import pytest

from procession.futures import Executor
from tests.contract.tasks import Fault, Signals, add, double, fail, note, wait_for


def test_submit(executor: Executor) -> None:
    futures = [executor.submit(add, item, y=1) for item in range(50)]
    assert [future.result() for future in futures] == list(range(1, 51))
    assert all(future.done() and not future.running() for future in futures)
    failed = executor.submit(fail, 3)
    assert isinstance(failed.exception(), Fault)
    with pytest.raises(Fault):
        failed.result()


def test_map(executor: Executor) -> None:
    assert list(executor.map(double, range(30))) == [2 * item for item in range(30)]
    assert list(executor.map(add, range(5), count(), chunksize=2)) == [0, 2, 4, 6, 8]
    results = executor.map(double, count(), buffersize=4)
    assert list(islice(results, 10)) == [2 * item for item in range(10)]
    results.close()  # type: ignore[attr-defined]


def test_an_error_ends_a_map(executor: Executor) -> None:
    results = executor.map(fail, range(3))
    with pytest.raises(Fault):
        next(results)
    with pytest.raises(StopIteration):
        next(results)


def test_the_standard_library_waits(executor: Executor) -> None:
    futures = [executor.submit(double, item) for item in range(8)]
    done, pending = concurrent.futures.wait(futures)
    assert done == set(futures)
    assert not pending
    more = [executor.submit(double, item) for item in range(8)]
    completed: list[Any] = [*concurrent.futures.as_completed(more)]  # type: ignore[arg-type]
    assert sorted(one.result() for one in completed) == [2 * item for item in range(8)]


def test_done_callbacks(executor: Executor) -> None:
    told: list[int] = []
    is_told = threading.Event()

    def tell(future: concurrent.futures.Future[int]) -> None:
        told.append(future.result())
        is_told.set()

    future = executor.submit(double, 4)
    future.add_done_callback(tell)
    is_told.wait()
    assert told == [8]
    assert future.result() == 8


def test_asyncio(executor: Executor) -> None:
    async def ask() -> list[Any]:
        loop = asyncio.get_running_loop()
        calls = [loop.run_in_executor(executor, double, item) for item in range(5)]
        wrapped = asyncio.wrap_future(executor.submit(double, 50))
        return [*await asyncio.gather(*calls), await wrapped]

    assert asyncio.run(ask()) == [0, 2, 4, 6, 8, 100]


def test_cancel(make_executor: Callable[..., Executor], signals: Signals) -> None:
    executor = make_executor(1)
    running = executor.submit(wait_for, signals, "began", "end")
    signals.wait("began")
    waiting = [executor.submit(note, signals, item) for item in range(10)]
    assert running.running()
    assert all(future.cancel() for future in waiting)
    assert all(future.cancelled() for future in waiting)
    with pytest.raises(concurrent.futures.CancelledError):
        waiting[0].result()
    signals.set("end")
    assert running.result() == "done"
    assert executor.submit(double, 1).result() == 2
    assert signals.noted() == []
    assert not running.cancel()


def test_cancel_of_what_runs(executor: Executor, signals: Signals) -> None:
    """Where it can not be stopped it is given up, and runs on."""
    running = executor.submit(wait_for, signals, "began", "end")
    signals.wait("began")
    assert running.cancel()
    assert running.cancelled()
    with pytest.raises(concurrent.futures.CancelledError):
        running.result()
    assert executor.submit(double, 1).result() == 2


def test_shutdown(executor: Executor, signals: Signals) -> None:
    futures = [executor.submit(note, signals, item) for item in range(20)]
    executor.shutdown()
    assert all(future.done() for future in futures)
    assert len(signals.noted()) == 20
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(double, 1)
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.map(double, [1])


def test_shutdown_without_waiting(executor: Executor, signals: Signals) -> None:
    future = executor.submit(wait_for, signals, "began", "end")
    executor.shutdown(wait=False)
    signals.set("end")
    assert future.result() == "done"


def test_shutdown_cancels(make_executor: Callable[..., Executor], signals: Signals) -> None:
    executor = make_executor(1)
    running = executor.submit(wait_for, signals, "began", "end")
    signals.wait("began")
    waiting = [executor.submit(double, item) for item in range(10)]
    executor.shutdown(wait=False, cancel_futures=True)
    signals.set("end")
    assert running.result() == "done"
    assert sum(future.cancelled() for future in waiting) >= 8
    executor.shutdown()


def test_no_more_run_at_a_time_than_it_has_workers(
    make_executor: Callable[..., Executor], signals: Signals
) -> None:
    """However many the engine has."""
    executor = make_executor(1)
    first = executor.submit(wait_for, signals, "began", "end")
    second = executor.submit(signals.is_set, "end")
    signals.wait("began")
    done, _ = concurrent.futures.wait([second], timeout=0.5)  # a right one never is
    assert not done
    signals.set("end")
    assert (first.result(), second.result()) == ("done", True)


def test_termination(executor: Executor, signals: Signals) -> None:
    futures = [executor.submit(wait_for, signals, "began", "end") for _ in range(5)]
    signals.wait("began")
    executor.terminate_workers()
    for future in futures:
        with pytest.raises(concurrent.futures.process.BrokenProcessPool):
            future.result()


def test_a_forgotten_executor_does_what_it_was_given(
    backend: dict[str, Any], signals: Signals
) -> None:
    executor: Executor | None = Executor(2, **backend)
    assert executor is not None
    futures = [executor.submit(note, signals, item) for item in range(5)]
    engine = executor._workforce.engine
    assert engine is not None
    executor = None
    assert [future.result() for future in futures] == list(range(5))
    engine.join()


def test_an_iterator_is_pulled_as_results_are_consumed(executor: Executor) -> None:
    pulled: list[int] = []

    def numbers() -> Iterator[int]:
        for number in count():
            pulled.append(number)
            yield number

    results = executor.map(double, numbers(), buffersize=3)
    assert next(results) == 0
    assert len(pulled) <= 5
    results.close()  # type: ignore[attr-defined]
