"""Futures whose end others want to be told of: each is told once, whatever comes first."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from types import SimpleNamespace
from typing import Any

import pytest

from procession._codec import messages
from procession._codec.objects import dumps
from procession._engine.entries import CANCELLED
from procession._engine.options import Options
from procession.errors.pool import PoolTerminated
from procession.futures import Executor, Future
from tests.futures.gates import Stage
from tests.plugins.scripts import LIMIT


def _square(x: int) -> int:
    return x * x


class _Unloadable:
    """Can be pickled, and not be unpickled."""

    def __reduce__(self) -> Any:
        return _refuse, (1,)


def _refuse(_: object) -> Any:
    raise LookupError("it does not load")


def _unloadable() -> Any:
    return _Unloadable()


# ---- without workers: an engine that answers at the worst moment


class _Attendant:
    is_unused = True

    def step_aside(self) -> None:
        """Nobody is in a callback."""

    def __init__(self) -> None:
        self.due: list[Any] = []

    def call(self) -> None:
        """Nothing: the tests say what comes when."""

    def call_back(self, future: Any) -> None:
        self.due.append(future)


class _Callers(set[Any]):
    """Answers a future when somebody wants to be told: behind the first look, before the second."""

    answer: Any = None

    def add(self, future: Any) -> None:
        super().add(future)
        if self.answer is not None:
            future.answer = self.answer


def _engine() -> Any:
    return SimpleNamespace(
        attendant=_Attendant(),
        with_callbacks=_Callers(),
        channel=SimpleNamespace(wake=lambda entry: None),
        free_payload=lambda record: None,
    )


def _future(engine: Any) -> Future[Any]:
    future: Future[Any] = Future(engine, _square, Options())
    future.payload = b""
    return future


VALUE = (messages.VALUE, dumps(9), 0)


def _told(future: Any) -> list[Any]:
    """Who is told what, by a waiter as concurrent.futures has them, and by a callback."""
    told: list[Any] = []
    waiter = SimpleNamespace(
        add_result=lambda future: told.append("result"),
        add_exception=lambda future: told.append("exception"),
        add_cancelled=lambda future: told.append("cancelled"),
    )
    with future._condition:  # as concurrent.futures.wait() does it
        if future._state not in ("FINISHED", "CANCELLED_AND_NOTIFIED"):
            future._waiters.append(waiter)
        else:
            told.append("seen")
    future.add_done_callback(lambda future: told.append(future.answer[0]))
    return told


@pytest.mark.parametrize("when", ["before", "while", "after"])
def test_an_answer_may_come_at_any_moment(when: str) -> None:
    engine = _engine()
    future = _future(engine)
    if when == "before":
        future.answer = VALUE
    elif when == "while":
        engine.with_callbacks.answer = VALUE
    told = _told(future)
    if when == "after":
        assert told == []
        assert engine.with_callbacks == {future}
        for _ in range(2):  # told again after an interrupt
            future.arrive(engine, *VALUE)
        assert engine.attendant.due == [future, future]
        for due in engine.attendant.due:
            due.call_back(engine)
    assert told == ["result" if when == "after" else "seen", messages.VALUE]
    assert engine.with_callbacks == set()
    assert future.result() == 9


def test_who_looks_before_the_attendant_comes_is_told_nothing_behind_it() -> None:
    engine = _engine()
    future = _future(engine)
    called: list[Any] = []
    future.add_done_callback(called.append)
    future.arrive(engine, *VALUE)
    assert _told(future) == ["seen", messages.VALUE]
    assert called == []  # that is the attendant's
    engine.attendant.due[0].call_back(engine)
    assert called == [future]


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (VALUE, "result"),
        ((messages.ERROR, b"", 0), "exception"),
        ((messages.VALUE, dumps(_Unloadable()), 0), "exception"),
        ((CANCELLED, None, 0), "cancelled"),
    ],
)
def test_waiters_are_told_what_it_is(answer: Any, word: str) -> None:
    engine = _engine()
    future = _future(engine)
    told = _told(future)
    future.arrive(engine, *answer)
    future.call_back(engine)
    assert told == [word, answer[0]]


def test_who_only_asks_makes_no_condition(executor: Executor) -> None:
    future = executor.submit(_square, 3)
    assert (future.result(), future.exception(), future.done()) == (9, None, True)
    assert (future.running(), future.cancelled(), future.cancel()) == (False, False, False)
    repr(future)
    assert not future._is_watched
    assert vars(future) == {}


# ---- for those who make futures of ours done themselves


def test_a_result_can_be_set_by_hand() -> None:
    future = _future(_engine())
    told = _told(future)
    assert future.set_running_or_notify_cancel()
    future.set_result(5)
    assert told == ["result", messages.VALUE]
    assert future.result() == 5
    with pytest.raises(concurrent.futures.InvalidStateError):
        future.set_result(6)
    with pytest.raises(RuntimeError, match="unexpected state"):
        future.set_running_or_notify_cancel()


def test_an_exception_can_be_set_by_hand() -> None:
    future = _future(_engine())
    future.set_exception(LookupError("by hand"))
    with pytest.raises(LookupError, match="by hand"):
        future.result()
    with pytest.raises(concurrent.futures.InvalidStateError):
        future.set_exception(LookupError())


def test_what_is_cancelled_is_not_to_be_run() -> None:
    future = _future(_engine())
    future.arrive(future._owner, CANCELLED, None, 0)
    assert not future.set_running_or_notify_cancel()


# ---- with workers


def test_a_result_that_does_not_load_is_an_exception_for_waiters(executor: Executor) -> None:
    future = executor.submit(_unloadable)
    done, _ = concurrent.futures.wait([future], return_when="FIRST_EXCEPTION")
    assert done == {future}
    assert isinstance(future.exception(), LookupError)


def test_answered_and_not_collected_yet(stage: Stage, executor: Executor) -> None:
    first = executor.submit(_square, 2)
    second = executor.submit(stage.perform, 3)
    stage.await_beginning()
    stage.let_end()
    # Nobody has asked for anything so far.
    assert concurrent.futures.wait([first, second]).not_done == set()
    assert [first.result(), second.result()] == [4, 3]


def test_asking_and_being_told_at_once(stage: Stage, executor: Executor) -> None:
    for _ in range(50):
        future = executor.submit(_square, 3)
        told = threading.Event()
        future.add_done_callback(lambda _, told=told: told.set())  # type: ignore[misc]
        assert future.result() == 9
        assert told.wait(LIMIT)


@pytest.mark.parametrize("how", ["terminate_workers", "kill_workers"])
def test_whoever_waits_is_told_of_a_violent_end(stage: Stage, executor: Executor, how: str) -> None:
    futures = [executor.submit(stage.perform) for _ in range(5)]
    told: list[Any] = []
    all_told = threading.Event()

    def tell(future: Any) -> None:
        told.append(future)
        if len(told) == len(futures):
            all_told.set()

    for future in futures:
        future.add_done_callback(tell)
    stage.await_beginning(2)
    getattr(executor, how)()
    assert all_told.wait(LIMIT)
    assert set(told) == set(futures)
    assert {type(future.exception()) for future in futures} == {PoolTerminated}


# ---- asyncio


def _run(work: Callable[[], Any]) -> Any:
    return asyncio.run(work())


def test_asyncio_awaits_results(executor: Executor) -> None:
    async def work() -> list[int]:
        loop = asyncio.get_running_loop()
        calls = [loop.run_in_executor(executor, _square, x) for x in range(100)]
        return await asyncio.gather(*calls)

    assert _run(work) == [x * x for x in range(100)]


def test_asyncio_gets_exceptions(executor: Executor) -> None:
    async def work() -> None:
        await asyncio.wrap_future(executor.submit(_refuse, 1))

    with pytest.raises(LookupError):
        _run(work)


def test_asyncio_cancels_what_waits(stage: Stage) -> None:
    async def work() -> bool:
        first = executor.submit(stage.perform)
        second = executor.submit(_square, 2)
        waiting = asyncio.wrap_future(second)
        waiting.cancel()
        with pytest.raises((asyncio.CancelledError, CancelledError)):
            await waiting
        await asyncio.sleep(0)  # here the loop tells the future
        stage.let_end()
        await asyncio.wrap_future(first)
        return second.cancelled()

    with Executor(1) as executor:
        assert _run(work)


def test_asyncio_hears_of_a_violent_end(stage: Stage, executor: Executor) -> None:
    async def work() -> None:
        future = executor.submit(stage.perform)
        waiting = asyncio.wrap_future(future)
        await asyncio.to_thread(stage.await_beginning)
        await asyncio.to_thread(executor.kill_workers)
        await waiting

    with pytest.raises(PoolTerminated):
        _run(work)


@pytest.mark.parametrize("wait", ["wait", "as_completed", "event"])
def test_a_callback_may_wait_for_another_one(executor: Executor, wait: str) -> None:
    found: list[int] = []
    over = threading.Event()

    def look_further(_: Future[int]) -> None:
        further = executor.submit(abs, -5)
        if wait == "wait":
            concurrent.futures.wait([further])
        elif wait == "as_completed":
            pending: list[Any] = [further]
            assert list(concurrent.futures.as_completed(pending)) == pending
        else:
            told = threading.Event()
            further.add_done_callback(lambda _: told.set())
            told.wait()
        found.append(further.result())
        over.set()

    executor.submit(abs, -1).add_done_callback(look_further)
    over.wait()
    assert found == [5]
    # Others are told as before.
    assert concurrent.futures.wait([executor.submit(abs, -7)]).done


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_callback_that_exits_leaves_the_others(executor: Executor) -> None:
    called = threading.Event()
    readable, writable = os.pipe()  # before the workers, which inherit it
    try:
        future = executor.submit(os.read, readable, 1)
        future.add_done_callback(lambda _: sys.exit(3))
        future.add_done_callback(lambda _: called.set())
        os.write(writable, b"x")
        called.wait()
    finally:
        os.close(readable)
        os.close(writable)
    assert future.result() == b"x"
