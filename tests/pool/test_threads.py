"""One pool used by many threads at a time."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import pytest

from procession.errors.pool import PoolTerminated
from procession.pool import Pool
from tests.pool.gates import Gate, error_of

THREADS = 8


def _square(x: int) -> int:
    return x * x


def _refuse(x: int) -> int:
    raise LookupError(x)


def _through(gate: Gate, x: int) -> int:
    gate.pass_through()
    return x


def _in_threads(work: Callable[[int], object], count: int = THREADS) -> None:
    """Have so many threads do it, each with its number; raises what one of them raised."""
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def _apply(pool: Any, base: int) -> None:
    for x in range(base, base + 20):
        assert pool.apply(_square, (x,)) == x * x


def _apply_async(pool: Any, base: int) -> None:
    results = [pool.apply_async(_square, (x,)) for x in range(base, base + 60)]
    assert [result.get() for result in results] == [x * x for x in range(base, base + 60)]


def _map(pool: Any, base: int) -> None:
    assert pool.map(_square, range(base, base + 200)) == [x * x for x in range(base, base + 200)]


def _starmap(pool: Any, base: int) -> None:
    assert pool.starmap(_square, [(base,), (1,)], 1) == [base * base, 1]


def _imap(pool: Any, base: int) -> None:
    items = range(base, base + 100)
    assert list(pool.imap(_square, items)) == [x * x for x in items]
    assert sorted(pool.imap_unordered(_square, items, 7)) == sorted(x * x for x in items)


def _large(pool: Any, base: int) -> None:
    assert pool.apply(len, (bytes(100_000 + base),)) == 100_000 + base
    assert len(pool.apply(bytes, (100_000 + base,))) == 100_000 + base


def _failing(pool: Any, base: int) -> None:
    assert error_of(pool.apply_async(_refuse, (base,))).args == (base,)


def _called_back(pool: Any, base: int) -> None:
    called: list[int] = []
    assert pool.apply_async(_square, (base,), callback=called.append).get() == base * base
    assert called == [base * base]


def _lambda(pool: Any, base: int) -> None:
    assert pool.map(lambda x: x + base, range(10)) == [x + base for x in range(10)]


WAYS = [_apply, _apply_async, _map, _starmap, _imap, _large, _failing, _called_back, _lambda]


@pytest.mark.parametrize("way", WAYS)
def test_threads_that_all_do_the_same(pool: Pool, way: Callable[[Any, int], None]) -> None:
    def work(number: int) -> None:
        for turn in range(3):
            way(pool, 1000 * number + turn)

    _in_threads(work)


def test_threads_that_do_everything_at_once(pool: Pool) -> None:
    def work(number: int) -> None:
        dice = random.Random(number)
        for turn in range(12):
            dice.choice(WAYS)(pool, 1000 * number + turn)

    _in_threads(work)


def test_one_result_for_many_threads(gate: Gate, any_pool: Any) -> None:
    single = any_pool.apply_async(_through, (gate, 5))
    many = any_pool.starmap_async(_through, [(gate, x) for x in range(4)], 1)
    at_it = threading.Barrier(THREADS + 1)
    found: list[Any] = []

    def ask(number: int) -> None:
        at_it.wait()
        found.append(single.get() if number % 2 else many.get())

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    at_it.wait()
    gate.open(5)
    for thread in threads:
        thread.join()
    assert sorted(found, key=repr) == [5] * (THREADS // 2) + [[0, 1, 2, 3]] * (THREADS // 2)


def test_many_threads_get_the_same_object(pool: Pool) -> None:
    for _ in range(30):
        result = pool.apply_async(list, (range(3),))
        found: list[Any] = []
        _in_threads(lambda _: found.append(result.get()))  # noqa: B023
        assert found == [[0, 1, 2]] * THREADS


def test_each_of_many_waiting_threads_gets_its_own(gate: Gate, pool: Pool) -> None:
    results = [pool.apply_async(_through, (gate, x)) for x in range(THREADS)]
    found: dict[int, int] = {}

    def ask(number: int) -> None:
        if number == THREADS:
            gate.open(THREADS)
        else:
            found[number] = results[number].get()

    _in_threads(ask, THREADS + 1)
    assert found == {number: number for number in range(THREADS)}


@pytest.mark.parametrize("turn", range(8))
@pytest.mark.parametrize("end", ["close", "terminate"])
def test_what_is_submitted_while_another_thread_ends_the_pool(end: str, turn: int) -> None:
    """It is refused, or gets its outcome: nobody waits for ever."""
    pool = Pool(2)
    started = threading.Barrier(THREADS)
    called: list[int] = []

    def work(number: int) -> None:
        started.wait()
        if number == 0:
            _map(pool, turn)
            getattr(pool, end)()
            return
        results: list[Any] = []

        def submit() -> None:
            while True:
                results.append(pool.apply_async(_square, (number,)))
                results.append(pool.map_async(_square, [number]))
                results.append(pool.apply_async(_square, (number,), callback=called.append))
                for result in results[-3:]:
                    result.wait()

        with pytest.raises(ValueError, match="Pool not running"):
            submit()
        for result in results:
            if end == "close":
                assert result.get() in (number**2, [number**2])
            else:
                _has_outcome(result)

    _in_threads(work)
    pool.join()


def _has_outcome(result: Any) -> None:
    assert result.ready()
    if not result.successful():
        assert isinstance(error_of(result), PoolTerminated)


def test_many_threads_end_the_same_pool(any_pool: Any) -> None:
    result = any_pool.map_async(_square, range(100))
    any_pool.close()

    def end(number: int) -> None:
        if number % 2:
            any_pool.close()
        any_pool.join()

    _in_threads(end)
    assert result.get() == [x * x for x in range(100)]
