"""The input of ``imap`` and ``imap_unordered``: pulled as results are consumed.

Code of the user's is pulled by a thread of its own: so it may wait for anything, and holds nothing
back.
"""

from __future__ import annotations

import contextlib
import itertools
import signal
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

import procession
from procession.pool import Pool
from tests.plugins.scripts import LIMIT
from tests.pool.counted import await_rest
from tests.pool.gates import Log

BOTH = pytest.mark.parametrize("method", ["imap", "imap_unordered"])
WORKERS = 2  # of the pools that the fixtures make


def _square(x: int) -> int:
    return x * x


def _identity(x: Any) -> Any:
    return x


def _logged(x: tuple[Log, int]) -> int:
    log, number = x
    log.write(number)
    return number


class Halting:
    """Gives a number of items, and waits, again and again."""

    def __init__(self, bursts: int, burst: int) -> None:
        self.waits = threading.Event()
        self.is_closed = threading.Event()
        self._numbers = [range(burst)] * bursts
        self._go = threading.Semaphore(0)

    def items(self) -> Iterator[int]:
        try:
            for numbers in self._numbers:
                yield from numbers
                self.waits.set()
                assert self._go.acquire(timeout=LIMIT)
        finally:
            self.is_closed.set()

    def go_on(self, bursts: int = 1) -> None:
        """Have it go on."""
        self._go.release(bursts)


# ---- waiting


@BOTH
def test_it_may_wait_for_results_of_its_own_call(any_pool: Any, method: str) -> None:
    found: SimpleQueue[int | None] = SimpleQueue()
    found.put(1)
    visited: list[int] = []
    left = 1
    for number in getattr(any_pool, method)(_identity, iter(found.get, None)):
        visited.append(number)
        for successor in (2 * number, 2 * number + 1):
            if successor < 200:
                found.put(successor)
                left += 1
        left -= 1
        if not left:
            found.put(None)
    assert sorted(visited) == list(range(1, 200))


@BOTH
@pytest.mark.parametrize("burst", [1, 2, 3, 7, 16])
def test_what_it_gave_is_not_held_back_while_it_waits(
    any_pool: Any, method: str, burst: int
) -> None:
    halting = Halting(3, burst)
    results = getattr(any_pool, method)(_identity, halting.items())
    for _ in range(3):
        assert sorted(next(results) for _ in range(burst)) == list(range(burst))
        halting.go_on()
    assert list(results) == []


@BOTH
@pytest.mark.parametrize("burst", [5, 300])
def test_nor_is_it_if_a_large_part_is_there_at_once(pool: Pool, method: str, burst: int) -> None:
    halting = Halting(3, burst)
    results = getattr(pool, method)(_square, halting.items())
    for _ in range(3):
        assert sorted(next(results) for _ in range(burst)) == [x * x for x in range(burst)]
        halting.go_on()
    assert list(results) == []


def test_chunks_that_are_full_are_not_held_back(any_pool: Any) -> None:
    halting = Halting(2, 10)
    results = any_pool.imap(_identity, halting.items(), 4)
    assert [next(results) for _ in range(8)] == list(range(8))
    halting.go_on()
    assert [next(results) for _ in range(8)] == [8, 9, *range(6)]
    halting.go_on()
    assert list(results) == [6, 7, 8, 9]


@BOTH
def test_waiting_for_a_result_has_its_limit_while_it_waits(
    mp: Any, any_pool: Any, method: str
) -> None:
    halting = Halting(1, 1)
    results = getattr(any_pool, method)(_identity, halting.items())
    assert next(results) == 0
    for _ in range(3):
        with pytest.raises(mp.TimeoutError):
            results.next(0.01)
    halting.go_on()
    assert list(results) == []


def test_other_calls_go_on_while_it_waits(pool: Pool) -> None:
    halting = Halting(1, 3)
    results = pool.imap(_square, halting.items())
    assert halting.waits.wait(LIMIT)
    assert pool.map(_square, range(1000)) == [x * x for x in range(1000)]
    assert pool.apply(_square, (7,)) == 49
    assert list(pool.imap(_square, (x for x in range(100)))) == [x * x for x in range(100)]
    halting.go_on()
    assert list(results) == [0, 1, 4]


def test_what_is_recorded_is_not_held_back_either(pool: Pool, tmp_path: Path) -> None:
    view = pool.options(journal=tmp_path / "journal")
    assert list(view.imap(_square, range(3))) == [0, 1, 4]
    halting = Halting(2, 5)
    results = view.imap(_square, halting.items())
    for _ in range(2):
        assert [next(results) for _ in range(5)] == [0, 1, 4, 9, 16]
        halting.go_on()
    assert list(results) == []


def test_it_runs_in_one_thread_which_is_nobody_else_s(any_pool: Any) -> None:
    threads: set[threading.Thread] = set()

    def items() -> Iterator[int]:
        for number in range(3000):
            threads.add(threading.current_thread())
            yield number

    assert list(any_pool.imap(_identity, items())) == list(range(3000))
    assert len(threads) == 1
    assert threading.current_thread() not in threads


@pytest.mark.parametrize("items", [[1, 2], (1, 2), range(1, 3), {1, 2}, {1: 0, 2: 0}, b"\1\2"])
def test_what_can_not_wait_needs_no_thread(pool: Pool, items: Iterable[int]) -> None:
    results = pool.imap(_square, items)
    assert results._job._fetcher is None
    assert list(results) == [1, 4]


@BOTH
@pytest.mark.parametrize("burst", [1, 5, 9])
def test_what_it_gave_is_run_although_nobody_asks_for_results(
    log: Log, any_pool: Any, method: str, burst: int
) -> None:
    halting = Halting(1, burst)
    items = ((log, number) for number in halting.items())
    results = getattr(any_pool, method)(_logged, items)
    next(results)
    assert halting.waits.wait(LIMIT)
    until = time.monotonic() + LIMIT
    while len(log.lines()) < burst:
        assert time.monotonic() < until
        time.sleep(0.001)
    halting.go_on()
    assert len(list(results)) == burst - 1


@BOTH
@pytest.mark.parametrize("window", [1, 2, 5])
def test_it_may_wait_for_the_result_but_a_few(pool: Pool, method: str, window: int) -> None:
    come = threading.Semaphore(window)
    late = 0

    def numbers() -> Iterator[int]:
        nonlocal late
        for number in range(500):
            late += not come.acquire(timeout=0.9)  # the engine looks around every second
            yield number

    found = []
    for number in getattr(pool, method)(_identity, numbers()):
        found.append(number)
        come.release()
    assert sorted(found) == list(range(500))
    assert late == 0


@pytest.mark.parametrize("inner", ["to its end", "closed", "dropped"])
def test_a_signal_handler_may_use_one(pool: Pool, keeps_handlers: None, inner: str) -> None:
    handled = 0
    is_busy = False

    def handle(number: int, frame: object) -> None:
        nonlocal handled, is_busy
        if is_busy:
            return
        is_busy = True
        results = pool.imap(_identity, (x for x in range(30)))
        if inner == "to its end":
            assert list(results) == list(range(30))
        else:
            assert next(results) == 0
            if inner == "closed":
                results.close()
        del results
        handled += 1
        is_busy = False

    signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
    while handled < 60:
        assert list(pool.imap(_square, range(200))) == [x * x for x in range(200)]
        assert list(pool.imap(_square, (x for x in range(20)))) == [x * x for x in range(20)]


@pytest.mark.parametrize("is_code", [False, True])
def test_a_signal_handler_may_close_one_that_is_recorded(
    pool: Pool, keeps_handlers: None, tmp_path: Path, is_code: bool
) -> None:
    view = pool.options(journal=tmp_path / "journal")
    assert len(list(view.imap(_square, range(300)))) == 300
    for round in range(20):
        results = view.imap(_square, (x for x in range(300)) if is_code else range(300))
        signal.signal(signal.SIGALRM, lambda *_: results.close())  # noqa: B023
        signal.setitimer(signal.ITIMER_REAL, 0.0005 * (round + 1))
        with contextlib.suppress(procession.JournalError):  # closed in the midst of a reading
            for _ in results:
                pass
        signal.setitimer(signal.ITIMER_REAL, 0)
        results.close()


# ---- the end, while it waits


@BOTH
def test_closed_while_it_waits_it_is_closed_behind_that(pool: Pool, method: str) -> None:
    halting = Halting(1, 3)
    results = getattr(pool, method)(_square, halting.items())
    assert halting.waits.wait(LIMIT)
    results.close()
    assert list(results) == []
    assert not halting.is_closed.is_set()
    assert pool.map(_square, range(100)) == [x * x for x in range(100)]
    halting.go_on()
    assert halting.is_closed.wait(LIMIT)


def test_closed_while_it_rests_it_is_closed_at_once(pool: Pool) -> None:
    is_closed: list[str] = []

    def items() -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            is_closed.append(threading.current_thread().name)

    results = pool.imap(_square, items())
    await_rest(results)
    results.close()
    assert is_closed == ["procession-input"]


def test_what_closing_it_raises(pool: Pool) -> None:
    def items() -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            raise OSError("torn")

    results = pool.imap(_square, items())
    await_rest(results)
    with pytest.raises(OSError, match="torn"):
        results.close()
    assert list(results) == []


def test_what_belongs_to_its_thread_may_be_used_to_its_end(pool: Pool) -> None:
    ends: SimpleQueue[str] = SimpleQueue()

    def rows() -> Iterator[int]:
        with contextlib.closing(sqlite3.connect(":memory:")) as table:
            try:
                query = (
                    "with recursive numbers(n) as (values (1) union all select n + 1 from numbers) "
                    "select n from numbers"
                )
                for (number,) in table.execute(query):
                    yield number
            finally:
                table.execute("select 1")
                ends.put("in order")

    for result in pool.imap(_square, rows()):
        if result > 100:
            break
    assert ends.get(timeout=LIMIT) == "in order"


def test_dropped_while_it_waits(pool: Pool) -> None:
    halting = Halting(1, 3)
    results = pool.imap(_square, halting.items())
    assert next(results) == 0
    assert halting.waits.wait(LIMIT)
    del results
    assert pool.map(_square, range(100)) == [x * x for x in range(100)]
    halting.go_on()
    assert halting.is_closed.wait(LIMIT)


@pytest.mark.parametrize("is_dropped", [False, True])
def test_a_pool_ends_while_an_input_waits(is_dropped: bool) -> None:
    halting = Halting(1, 3)
    with Pool(WORKERS) as pool:
        results = pool.imap(_square, halting.items())
        assert [next(results) for _ in range(3)] == [0, 1, 4]
        assert halting.waits.wait(LIMIT)
        if is_dropped:
            del results
    pool.join()
    if not is_dropped:
        with pytest.raises(procession.PoolTerminated):
            next(results)
    halting.go_on()
    assert halting.is_closed.wait(LIMIT)


def test_a_pool_that_closes_waits_for_it(log: Log, any_pool: Any) -> None:
    halting = Halting(2, 3)
    any_pool.imap(_logged, ((log, number) for number in halting.items()))
    any_pool.close()
    assert halting.waits.wait(LIMIT)
    halting.go_on(2)
    any_pool.join()
    assert sorted(log.lines()) == sorted(["0", "1", "2"] * 2)


@pytest.mark.parametrize("is_consumed", [False, True])
def test_a_pool_that_ends_gives_one_error_whatever_its_input_gives_then(is_consumed: bool) -> None:
    halting = Halting(3, 3)
    with Pool(WORKERS) as pool:
        results = pool.imap(_square, halting.items())
        assert [next(results) for _ in range(3)] == [0, 1, 4]
    pool.join()
    if is_consumed:
        with pytest.raises(procession.PoolTerminated):
            next(results)
    halting.go_on(3)
    assert halting.is_closed.wait(LIMIT)
    if not is_consumed:
        with pytest.raises(procession.PoolTerminated):
            next(results)
    assert list(results) == []


def test_a_pool_that_ends_while_an_item_is_pickled() -> None:
    asked, go = threading.Event(), threading.Event()

    class Slow:
        def __reduce__(self) -> Any:
            asked.set()
            assert go.wait(LIMIT)
            return int, ()

    with Pool(WORKERS) as pool:
        results = pool.imap(_identity, (Slow() for _ in range(9)), 3)
        assert asked.wait(LIMIT)
    pool.join()
    go.set()
    fetcher = results._job._fetcher
    assert fetcher is not None
    thread = fetcher._thread
    assert thread is not None
    thread.join(LIMIT)
    assert not thread.is_alive()


@pytest.mark.parametrize("workers", [1, 4])
def test_it_ends_while_there_is_no_room_for_more(workers: int) -> None:
    halting = Halting(1, 30)
    with Pool(4) as pool:
        results = pool.imap(_square, halting.items())
        found = [next(results) for _ in range(10)]
        assert halting.waits.wait(LIMIT)
        pool.resize(workers)
        halting.go_on()
        found += results
        assert found == [x * x for x in range(30)]
        pool.close()
        pool.join()
