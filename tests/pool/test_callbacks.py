"""Callbacks: when they run, in which thread, and what they may do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from procession.errors.pool import PoolTerminated
from procession.pool import Pool
from tests.plugins.scripts import LIMIT
from tests.pool.gates import Gate, error_of


def _square(x: int) -> int:
    return x * x


def _refuse(x: int) -> int:
    raise LookupError(x)


def _through(gate: Gate, x: int) -> int:
    gate.pass_through()
    return x


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[BaseException | None]]:
    """What threads report as uncaught."""
    reports: list[BaseException | None] = []
    monkeypatch.setattr(threading, "excepthook", lambda about: reports.append(about.exc_value))
    yield reports
    reports.clear()  # they hold frames, and these the pool


@pytest.mark.parametrize("finish", ["get", "wait"])
def test_a_callback_has_run_when_waiting_ends(any_pool: Any, finish: str) -> None:
    called: list[int] = []
    for x in range(200):
        result = any_pool.apply_async(_square, (x,), callback=called.append)
        getattr(result, finish)()
        assert called[-1] == x * x
    assert len(called) == 200


def test_the_result_is_not_ready_inside_its_callback(pool: Pool) -> None:
    ready: list[bool] = []
    submitted = threading.Event()

    def look(_: int) -> None:
        submitted.wait(LIMIT)
        ready.append(result.ready())

    result = pool.apply_async(_square, (3,), callback=look)
    submitted.set()
    assert result.get() == 9
    assert ready == [False]


def test_the_error_callback_gets_the_exception(any_pool: Any) -> None:
    called: list[Any] = []
    values: list[Any] = []
    for result in (
        any_pool.apply_async(_refuse, (5,), {}, values.append, called.append),
        any_pool.map_async(_refuse, [5], None, values.append, called.append),
        any_pool.starmap_async(_refuse, [(5,)], None, values.append, called.append),
    ):
        assert type(error_of(result)) is LookupError
        assert called.pop().args == (5,)
    assert called == values == []


def test_only_the_callback_that_fits_is_called(any_pool: Any) -> None:
    errors: list[Any] = []
    values: list[Any] = []
    assert any_pool.apply_async(_square, (2,), error_callback=errors.append).get() == 4
    assert (
        type(error_of(any_pool.apply_async(_refuse, (2,), callback=values.append))) is LookupError
    )
    assert errors == values == []


def test_a_map_calls_back_once_with_all(any_pool: Any) -> None:
    called: list[list[int]] = []
    expected = [x * x for x in range(100)]
    assert any_pool.map_async(_square, range(100), 7, called.append).get() == expected
    pairs = [(x,) for x in range(100)]
    assert any_pool.starmap_async(_square, pairs, 7, called.append).get() == expected
    assert called == [expected, expected]


def test_several_errors_in_a_map_call_back_once(any_pool: Any) -> None:
    called: list[BaseException] = []
    result = any_pool.map_async(_refuse, range(20), 1, error_callback=called.append)
    assert error_of(result) is called[0]
    assert len(called) == 1


@pytest.mark.parametrize("method", ["map_async", "starmap_async"])
def test_an_empty_map_calls_nobody(any_pool: Any, method: str) -> None:
    called: list[Any] = []
    result = getattr(any_pool, method)(
        _square, [], callback=called.append, error_callback=called.append
    )
    assert result.get() == []
    any_pool.close()
    any_pool.join()
    assert called == []


def test_callbacks_run_although_nobody_waits(any_pool: Any) -> None:
    done = threading.Semaphore(0)
    any_pool.apply_async(_square, (1,), callback=lambda _: done.release())
    any_pool.map_async(_square, range(100), 3, callback=lambda _: done.release())
    any_pool.apply_async(_refuse, (1,), error_callback=lambda _: done.release())
    for _ in range(3):
        assert done.acquire(timeout=LIMIT)


def test_callbacks_have_run_when_join_returns(any_pool: Any) -> None:
    called: list[int] = []
    for x in range(300):
        any_pool.apply_async(_square, (x,), callback=called.append)
    any_pool.close()
    any_pool.join()
    assert sorted(called) == [x * x for x in range(300)]


def test_all_run_in_one_thread_that_is_the_pool_s_own(pool: Pool) -> None:
    threads: list[threading.Thread] = []

    def note(_: object) -> None:
        threads.append(threading.current_thread())

    results = [pool.apply_async(_square, (x,), callback=note) for x in range(20)]
    results += [pool.map_async(_square, range(20), callback=note) for _ in range(5)]
    results += [pool.apply_async(_refuse, (1,), error_callback=note) for _ in range(5)]
    for result in results:
        result.wait()
    assert len(threads) == 30
    assert {thread.name for thread in threads} == {"procession-attendant"}
    assert len(set(threads)) == 1
    assert threads[0].daemon
    threads.clear()


def test_a_callback_that_takes_long_delays_no_other_result(pool: Pool) -> None:
    began, go_on = threading.Event(), threading.Event()

    def hold(_: int) -> None:
        began.set()
        go_on.wait(LIMIT)

    held = pool.apply_async(_square, (1,), callback=hold)
    assert began.wait(LIMIT)
    assert pool.map(_square, range(50), 3) == [x * x for x in range(50)]
    assert pool.apply_async(_square, (7,)).get() == 49
    assert list(pool.imap(_square, range(50))) == [x * x for x in range(50)]
    assert not held.ready()
    go_on.set()
    assert held.get() == 1


@pytest.mark.parametrize("error", [ZeroDivisionError("mine"), SystemExit(3), KeyboardInterrupt()])
def test_what_a_callback_raises_is_reported_and_the_pool_goes_on(
    reported: list[BaseException | None], error: BaseException
) -> None:
    def fail(_: object) -> None:
        raise error

    with Pool(2) as pool:
        assert pool.apply_async(_square, (3,), callback=fail).get() == 9
        assert pool.map_async(_square, [3], callback=fail).get() == [9]
        assert type(error_of(pool.apply_async(_refuse, (1,), error_callback=fail))) is LookupError
        called: list[int] = []
        assert pool.apply_async(_square, (4,), callback=called.append).get() == 16
        assert called == [16]
        pool.close()
        pool.join()
    assert reported == [error] * 3


ASKS: list[Callable[[Pool], object]] = [
    lambda pool: pool.apply(_square, (9,)),
    lambda pool: pool.map(_square, range(60), 2)[9],
    lambda pool: list(pool.imap(_square, range(60)))[9],
    lambda pool: pool.apply_async(_square, (9,), callback=lambda _: None).get(),
    lambda pool: pool.map_async(_square, [9], callback=lambda _: None).get()[0],
]


@pytest.mark.parametrize("ask", ASKS)
def test_a_callback_may_ask_the_same_pool_and_wait(
    pool: Pool, ask: Callable[[Pool], object]
) -> None:
    answers: list[object] = []
    results = [
        pool.apply_async(_square, (x,), callback=lambda _: answers.append(ask(pool)))
        for x in range(10)
    ]
    assert [result.get() for result in results] == [x * x for x in range(10)]
    assert answers == [81] * 10


def test_callbacks_may_go_on_from_one_to_the_next(pool: Pool) -> None:
    done = threading.Event()
    values: list[int] = []

    def go_on(value: int) -> None:
        values.append(value)
        if value < 20:
            pool.apply_async(int, (value + 1,), callback=go_on)
        else:
            done.set()

    pool.apply_async(int, (0,), callback=go_on)
    assert done.wait(LIMIT)
    assert values == list(range(21))


def test_close_waits_for_what_the_callbacks_do(pool: Pool) -> None:
    done: list[object] = []
    began, closed = threading.Event(), threading.Event()

    def call_back(_: int) -> None:
        began.set()
        closed.wait(LIMIT)
        done.append("one")

    pool.apply_async(_square, (1,), callback=call_back)
    pool.apply_async(_square, (2,), callback=done.append)
    assert began.wait(LIMIT)
    pool.close()
    closed.set()
    pool.join()
    assert sorted(done, key=str) == [4, "one"]


def test_a_callback_may_terminate_the_pool(gate: Gate) -> None:
    pool = Pool(2)
    held = pool.apply_async(_through, (gate, 1))
    result = pool.apply_async(_square, (2,), callback=lambda _: pool.terminate())
    assert result.get() == 4
    assert isinstance(error_of(held), PoolTerminated)
    pool.join()
    with pytest.raises(ValueError, match="Pool not running"):
        pool.apply(_square, (2,))


def test_a_callback_may_close_the_pool_and_not_join_it(
    reported: list[BaseException | None],
) -> None:
    pool = Pool(2)

    def end(_: int) -> None:
        pool.close()
        pool.join()

    assert pool.apply_async(_square, (2,), callback=end).get() == 4
    pool.join()
    assert [type(error) for error in reported] == [RuntimeError]
