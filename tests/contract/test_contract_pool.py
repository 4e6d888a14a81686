"""The methods of a pool, on each engine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import count, islice
from typing import Any

import pytest

from procession.pool import Pool
from tests.contract.tasks import Fault, Signals, add, double, fail, fail_if_odd, identity, wait_for


def test_apply(pool: Pool) -> None:
    assert pool.apply(add, (1,), {"y": 2, "z": 3}) == 6
    assert [pool.apply(double, (item,)) for item in range(5)] == [0, 2, 4, 6, 8]


def test_apply_async(pool: Pool) -> None:
    results = [pool.apply_async(double, (item,)) for item in range(50)]
    assert [result.get() for result in results] == [2 * item for item in range(50)]
    assert all(result.ready() and result.successful() for result in results)
    failed = pool.apply_async(fail, (1,))
    failed.wait()
    assert not failed.successful()
    with pytest.raises(Fault):
        failed.get()


def test_a_result_that_is_not_there_yet(pool: Pool, signals: Signals) -> None:
    result = pool.apply_async(wait_for, (signals, "began", "end"))
    signals.wait("began")
    assert not result.ready()
    with pytest.raises(ValueError, match="not ready"):
        result.successful()
    with pytest.raises(TimeoutError):
        result.get(timeout=0)
    signals.set("end")
    assert result.get() == "done"


def test_callbacks(pool: Pool) -> None:
    values: list[Any] = []
    errors: list[Any] = []
    good = pool.apply_async(double, (4,), callback=values.append, error_callback=errors.append)
    bad = pool.apply_async(fail, (5,), callback=values.append, error_callback=errors.append)
    good.wait()
    bad.wait()
    assert values == [8]
    assert [error.item for error in errors] == [5]
    mapped = pool.map_async(double, range(10), callback=values.append)
    assert mapped.get() == values[1] == [2 * item for item in range(10)]
    unmapped = pool.starmap_async(add, [(1, 2), (3, "x")], error_callback=errors.append)
    unmapped.wait()
    assert isinstance(errors[1], TypeError)


def test_a_pool_used_in_a_callback(pool: Pool) -> None:
    got: list[Any] = []
    is_here = threading.Event()

    def call_back(value: int) -> None:
        got.append(pool.apply(double, (value,)))
        got.append(pool.map(double, range(5)))
        is_here.set()

    pool.apply_async(double, (1,), callback=call_back)
    is_here.wait()
    assert got == [4, [0, 2, 4, 6, 8]]


@pytest.mark.parametrize("chunksize", [None, 1, 7, 1000])
def test_map(pool: Pool, chunksize: int | None) -> None:
    assert pool.map(double, range(200), chunksize) == [2 * item for item in range(200)]
    assert pool.map(double, iter(["a", "b"]), chunksize) == ["aa", "bb"]
    assert pool.map(double, [], chunksize) == []


def test_many_tiny_items(pool: Pool) -> None:
    assert pool.map(double, range(20_000)) == list(range(0, 40_000, 2))
    assert list(pool.imap(double, range(5_000))) == list(range(0, 10_000, 2))


@pytest.mark.parametrize("chunksize", [None, 3])
def test_starmap(pool: Pool, chunksize: int | None) -> None:
    pairs = [(item, 2 * item) for item in range(20)]
    sums = [3 * item for item in range(20)]
    assert pool.starmap(add, pairs, chunksize) == sums
    assert pool.starmap_async(add, pairs, chunksize).get() == sums


def test_map_async(pool: Pool, signals: Signals) -> None:
    result = pool.map_async(double, range(30))
    assert result.get() == [2 * item for item in range(30)]
    waits = pool.starmap_async(wait_for, [(signals, "began", "end")] * 3)
    signals.wait("began")
    assert not waits.ready()
    signals.set("end")
    assert waits.get() == ["done"] * 3


@pytest.mark.parametrize("chunksize", [1, 4])
def test_imap(pool: Pool, chunksize: int) -> None:
    assert list(pool.imap(double, range(100), chunksize)) == [2 * item for item in range(100)]
    assert sorted(pool.imap_unordered(double, range(100), chunksize)) == list(range(0, 200, 2))
    pairs = [(item, 1) for item in range(40)]
    assert list(pool.istarmap(add, pairs, chunksize)) == list(range(1, 41))
    assert sorted(pool.istarmap_unordered(add, pairs, chunksize)) == list(range(1, 41))


def test_imap_goes_on_behind_an_error(pool: Pool) -> None:
    results = pool.imap(fail_if_odd, range(4))
    assert next(results) == 0
    with pytest.raises(Fault):
        next(results)
    assert next(results) == 20
    with pytest.raises(Fault):
        next(results)
    with pytest.raises(StopIteration):
        next(results)


def test_imap_of_an_endless_input(pool: Pool) -> None:
    pulled: list[int] = []

    def numbers() -> Iterator[int]:
        for number in count():
            pulled.append(number)
            yield number

    results = pool.imap(double, numbers())
    assert list(islice(results, 50)) == [2 * item for item in range(50)]
    results.close()
    stopped_at = len(pulled)
    assert pool.apply(double, (1,)) == 2
    assert len(pulled) == stopped_at


def test_the_input_fails(pool: Pool) -> None:
    def items() -> Iterator[int]:
        yield from range(3)
        raise Fault("input")

    with pytest.raises(Fault, match="input"):
        pool.map(double, items())
    results = pool.imap(double, items())
    assert list(islice(results, 3)) == [0, 2, 4]
    with pytest.raises(Fault, match="input"):
        next(results)


def test_many_threads(pool: Pool) -> None:
    outcomes: list[bool] = []

    def use(number: int) -> None:
        items = range(number, number + 60)
        same = pool.map(identity, items) == list(items)
        same &= list(pool.imap(identity, items)) == list(items)
        same &= [pool.apply(identity, (item,)) for item in items] == list(items)
        outcomes.append(same)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [True] * 6


def test_large_arguments_and_results(pool: Pool) -> None:
    data = bytes(range(256)) * 4000
    assert pool.apply(identity, (data,)) == data
    assert pool.map(len, [data] * 4) == [len(data)] * 4
    assert [len(one) for one in pool.imap(double, [data] * 3)] == [2 * len(data)] * 3


def test_what_the_pool_is_called(make_pool: Callable[..., Pool]) -> None:
    pool = make_pool(1)
    assert "state=RUN pool_size=1" in repr(pool)
