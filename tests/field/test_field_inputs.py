"""Inputs that never end: looked at as far as the results are consumed, and let go of with them."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.field.doors import DOORS, Door, Pool, mp, square

WORKERS = 2
AHEAD = 600 * WORKERS
"""More than any call may look ahead that is not told how far."""

PATIENCE = 20.0
"""Seconds after which what should happen at once counts as a hang."""


class Endless:
    """A generator's items; knows how many were pulled, and when it was closed."""

    def __init__(self, make: Callable[[int], Any] = int) -> None:
        self.pulled = 0
        self.is_closed = threading.Event()
        self._make = make

    def items(self) -> Iterator[Any]:
        try:
            while True:
                self.pulled += 1
                yield self._make(self.pulled - 1)
        finally:
            self.is_closed.set()


def _imap(pool: Any, items: Any, **options: Any) -> Any:
    return (pool.options(**options) if options else pool).imap(square, items)


def _imap_unordered(pool: Any, items: Any, **options: Any) -> Any:
    return (pool.options(**options) if options else pool).imap_unordered(square, items)


def _istarmap(pool: Any, items: Any, **options: Any) -> Any:
    pairs = ((item, 1) for item in items)
    return (pool.options(**options) if options else pool).istarmap(_product, pairs)


def _executor_map(executor: Any, items: Any, **options: Any) -> Any:
    return (executor.options(**options) if options else executor).map(square, items)


def _product(x: int, y: int) -> int:
    return x * x * y


CALLS: dict[str, tuple[str, Any]] = {
    "imap": ("Pool", _imap),
    "imap_unordered": ("Pool", _imap_unordered),
    "istarmap": ("Pool", _istarmap),
    "Executor.map": ("Executor", _executor_map),
}
EACH = pytest.mark.parametrize("call", list(CALLS))


@EACH
def test_the_input_is_pulled_as_results_are_consumed(call: str) -> None:
    door, stream = CALLS[call]
    endless = Endless()
    with DOORS[door](WORKERS) as pool:
        results = stream(pool.made, endless.items())
        assert endless.pulled <= AHEAD
        for consumed in range(1, 5001):
            next(results)  # the only one who pulls: nothing is pulled between two of these
            assert endless.pulled <= consumed + AHEAD
        assert endless.pulled >= 5000
        del results


@EACH
def test_how_far_it_looks_can_be_said(call: str) -> None:
    door, stream = CALLS[call]
    endless = Endless()
    with DOORS[door](WORKERS) as pool:
        results = stream(pool.made, endless.items(), max_in_flight=4)
        for consumed in range(100):
            assert endless.pulled <= consumed + 5  # one is in the hand that looks for room
            next(results)
        del results


@EACH
def test_large_items_are_bounded_by_their_bytes(call: str) -> None:
    door, stream = CALLS[call]
    endless = Endless(lambda number: _Sized(1 << 20))
    with DOORS[door](WORKERS) as pool:
        results = stream(pool.made, endless.items(), max_bytes=8 << 20)
        for consumed in range(30):
            assert endless.pulled <= consumed + 8 + 2 * WORKERS
            next(results)
        del results


class _Sized:
    """So many bytes on their way, and its square as many."""

    def __init__(self, size: int) -> None:
        self.content = bytes(size)

    def __mul__(self, other: object) -> _Sized:
        return self


@EACH
def test_an_iterator_that_is_dropped_lets_go_of_its_input(call: str) -> None:
    door, stream = CALLS[call]
    endless = Endless()
    with DOORS[door](WORKERS) as pool:
        results = stream(pool.made, endless.items())
        for _ in range(10):
            next(results)
        del results
        gc.collect()
        # The last of its tasks may be on their way; behind them nothing of it is left.
        assert [pool.call(square, x) for x in range(20)] == [x * x for x in range(20)]
        gc.collect()
        assert endless.is_closed.wait(PATIENCE)
        pulled = endless.pulled
        assert pool.map(square, range(100)) == [x * x for x in range(100)]
        assert endless.pulled == pulled


def _end_after_all(door: Door) -> None:
    if door.name == "Pool":
        door.made.close()
        door.made.join()
    else:
        door.made.shutdown()


@EACH
def test_a_loop_that_is_left_does_not_keep_the_end_waiting(call: str) -> None:
    door, stream = CALLS[call]
    endless = Endless()
    with DOORS[door](WORKERS) as pool:
        for result in stream(pool.made, endless.items()):
            if result >= 100:
                break
        del result
        gc.collect()
        ending = threading.Thread(target=_end_after_all, args=(pool,), daemon=True)
        ending.start()
        ending.join(PATIENCE)
        assert not ending.is_alive()
        assert endless.is_closed.wait(PATIENCE)


@EACH
def test_an_input_that_raises_does_so_behind_its_results(call: str) -> None:
    door, stream = CALLS[call]

    def items() -> Iterator[int]:
        yield from range(10)
        raise LookupError("no more")

    with DOORS[door](WORKERS) as pool:
        results = stream(pool.made, items())
        assert sorted(next(results) for _ in range(10)) == [x * x for x in range(10)]
        with pytest.raises(LookupError, match="no more"):
            next(results)


def _slow(item: tuple[Any, int]) -> int:
    """A tenth of a millisecond; counted."""
    done, x = item
    until = time.perf_counter_ns() + 100_000
    while time.perf_counter_ns() < until:
        pass
    with done.get_lock():
        done.value += 1
    return x


@pytest.mark.parametrize("options", [{}, {"max_in_flight": 64}])
def test_map_does_not_swallow_a_generator(options: dict[str, int]) -> None:
    count = 4000
    done = mp.Value("i", 0)
    ahead = 0

    def items() -> Iterator[tuple[Any, int]]:
        nonlocal ahead
        for x in range(count):
            ahead = max(ahead, x - done.value)
            yield done, x

    with Pool(WORKERS) as pool:
        assert (pool.options(**options) if options else pool).map(_slow, items()) == [*range(count)]
    pool.join()
    assert ahead <= options.get("max_in_flight", count // 2) + 1


def test_results_that_are_consumed_are_given_back() -> None:
    alive: weakref.WeakSet[_Kept] = weakref.WeakSet()
    most = 0
    with Pool(WORKERS) as pool:
        for number, result in enumerate(pool.imap(_make_kept, range(2000))):
            alive.add(result)
            most = max(most, len(alive))
            assert result.number == number
    pool.join()
    assert most <= 2


class _Kept:
    def __init__(self, number: int) -> None:
        self.number = number


def _make_kept(number: int) -> _Kept:
    return _Kept(number)
