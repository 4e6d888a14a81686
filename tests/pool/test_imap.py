"""``imap`` and ``imap_unordered``: results one by one, and an input pulled as they are consumed."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import pytest

import procession
from procession.pool import IMapIterator, IMapUnorderedIterator, Pool
from tests.pool.counted import Counted
from tests.pool.gates import Gate, Log

BOTH = pytest.mark.parametrize("method", ["imap", "imap_unordered"])


def _square(x: int) -> int:
    return x * x


def _identity(x: Any) -> Any:
    return x


def _refuse_sevenths(x: int) -> int:
    if x % 7 == 3:
        raise LookupError(x)
    return x


def _gated(x: tuple[Gate | None, int]) -> int:
    gate, number = x
    if gate is not None:
        gate.pass_through()
    return number


def _logged(x: tuple[Log, int]) -> int:
    log, number = x
    log.write(number)
    return number


def _blob(size: int) -> bytes:
    return bytes(size)


def _outcomes(results: Iterable[Any]) -> list[Any]:
    """Every value, and every LookupError, to the end."""
    found: list[Any] = []
    iterator = iter(results)
    while True:
        try:
            found.append(next(iterator))
        except StopIteration:
            return found
        except LookupError as error:
            found.append(error)


# ---- order


@pytest.mark.parametrize("chunksize", [1, 2, 7, 100, 1000])
@pytest.mark.parametrize("count", [0, 1, 100, 1000])
def test_imap_keeps_the_order(any_pool: Any, count: int, chunksize: int) -> None:
    if chunksize == 1:
        results = any_pool.imap(_square, range(count))
    else:
        results = any_pool.imap(_square, range(count), chunksize)
    assert list(results) == [x * x for x in range(count)]
    assert list(results) == []


@pytest.mark.parametrize("chunksize", [1, 7])
def test_unordered_results_are_complete(any_pool: Any, chunksize: int) -> None:
    results = any_pool.imap_unordered(_square, range(1000), chunksize)
    assert sorted(results) == [x * x for x in range(1000)]
    assert list(results) == []


def test_unordered_results_come_as_they_are_done(gate: Gate, any_pool: Any) -> None:
    items = [(gate, 0), *((None, x) for x in range(1, 10))]
    results = any_pool.imap_unordered(_gated, items)
    assert sorted(next(results) for _ in range(9)) == list(range(1, 10))
    gate.open()
    assert next(results) == 0
    assert list(results) == []


def test_ordered_results_wait_for_the_first(gate: Gate, mp: Any, any_pool: Any) -> None:
    results = any_pool.imap(_gated, [(gate, 0), (None, 1), (None, 2)])
    with pytest.raises(mp.TimeoutError):
        results.next(0.01)
    gate.open()
    assert list(results) == [0, 1, 2]


@BOTH
def test_the_iterators_have_the_library_s_names(pool: Pool, method: str) -> None:
    results = getattr(pool, method)(_square, [3])
    assert isinstance(results, IMapIterator)
    assert isinstance(results, IMapUnorderedIterator) == (method == "imap_unordered")
    assert iter(results) is results
    assert results.next() == 9
    with pytest.raises(StopIteration):
        results.next()


# ---- timeouts


@BOTH
@pytest.mark.parametrize("timeout", [0, 0.01])
def test_a_result_that_is_late_comes_later(
    gate: Gate, mp: Any, any_pool: Any, method: str, timeout: float
) -> None:
    results = getattr(any_pool, method)(_gated, [(gate, 0), (gate, 1)])
    for _ in range(3):
        with pytest.raises(mp.TimeoutError):
            results.next(timeout)
        with pytest.raises(mp.TimeoutError):
            results.next(timeout=timeout)
    gate.open(2)
    assert sorted(results) == [0, 1]


def test_the_timeout_is_ours_and_the_builtin_one(gate: Gate, pool: Pool) -> None:
    results = pool.imap(_gated, [(gate, 0)])
    with pytest.raises(TimeoutError) as caught:
        results.next(0)
    assert type(caught.value) is procession.TimeoutError
    gate.open()
    assert results.next(60) == 0


# ---- errors


@BOTH
@pytest.mark.parametrize("chunksize", [1, 2, 5, 7, 60])
def test_iteration_goes_on_behind_an_error(pool: Pool, method: str, chunksize: int) -> None:
    found = _outcomes(getattr(pool, method)(_refuse_sevenths, range(50), chunksize))
    numbers = [x.args[0] if isinstance(x, LookupError) else x for x in found]
    failed = [x.args[0] for x in found if isinstance(x, LookupError)]
    if method == "imap":
        assert numbers == list(range(50))
        assert failed == list(range(3, 50, 7))
    assert sorted(numbers) == list(range(50))
    assert sorted(failed) == list(range(3, 50, 7))


@BOTH
def test_without_chunks_errors_are_as_in_the_library(any_pool: Any, method: str) -> None:
    found = _outcomes(getattr(any_pool, method)(_refuse_sevenths, range(20)))
    assert sorted(x for x in found if isinstance(x, int)) == [x for x in range(20) if x % 7 != 3]
    assert sum(isinstance(x, LookupError) for x in found) == 3


class Unpicklable:
    """Can be pickled by nobody."""

    def __reduce__(self) -> Any:
        raise TypeError("not this one")


@pytest.mark.parametrize("chunksize", [1, 2])
def test_an_item_that_can_not_be_pickled_fails_in_its_turn(pool: Pool, chunksize: int) -> None:
    results = pool.imap(_identity, [0, 1, 2, Unpicklable(), 4, 5], chunksize)
    found: list[Any] = []
    for _ in range(6):
        try:
            found.append(next(results))
        except TypeError as error:
            found.append(str(error))
    lost = {3} if chunksize == 1 else {2, 3}  # it is the chunk that can not be pickled
    assert found == ["not this one" if x in lost else x for x in range(6)]
    assert list(results) == []


class Exits:
    """A result that raises an exit where it arrives."""

    def __reduce__(self) -> Any:
        return _exit_elsewhere, (os.getpid(), self.apart())

    def apart(self) -> bytes:
        """What comes beside it."""
        return b""


class ExitsBesideBytes(Exits):
    def apart(self) -> bytes:
        """So much that it travels apart."""
        return bytes(200_000)


def _exit_elsewhere(pid: int, apart: bytes) -> None:
    if os.getpid() != pid:
        raise SystemExit(3)


def _result_at(item: int, where: int, kind: type[Exits]) -> Any:
    return kind() if item == where else item


@BOTH
@pytest.mark.parametrize("kind", [Exits, ExitsBesideBytes])
@pytest.mark.parametrize("where", [2, 1500])
def test_a_result_that_exits_costs_no_others(
    pool: Pool, method: str, kind: type[Exits], where: int
) -> None:
    results = getattr(pool, method)(partial(_result_at, where=where, kind=kind), range(2000))
    found: list[int] = []
    exits = 0
    while True:
        try:
            found.append(next(results))
        except StopIteration:
            break
        except SystemExit:
            exits += 1  # once for whoever may have sent a signal, once as the item's outcome
    assert sorted(found) == [at for at in range(2000) if at != where]
    assert exits == 2


def test_a_map_with_a_result_that_exits(pool: Pool) -> None:
    view = pool.options(errors="return")
    call = view.map_async(partial(_result_at, where=3, kind=Exits), range(9))
    with pytest.raises(SystemExit):
        call.get()
    found = call.get()
    assert type(found[3]) is SystemExit
    assert found[:3] + found[4:] == [0, 1, 2, 4, 5, 6, 7, 8]


def _broken_input(good: int) -> Iterator[int]:
    yield from range(good)
    raise OSError("the input is torn")


def _until_the_input_ends(results: Any) -> list[int | None]:
    """All values; None for the input's error."""
    found: list[int | None] = []
    while True:
        try:
            found.append(next(results))
        except StopIteration:
            return found
        except OSError:
            found.append(None)


@pytest.mark.parametrize("good", [0, 1, 6, 7, 8, 9])
@pytest.mark.parametrize("chunksize", [1, 3])
def test_an_input_that_raises_ends_the_iteration(any_pool: Any, good: int, chunksize: int) -> None:
    found = _until_the_input_ends(any_pool.imap(_identity, _broken_input(good), chunksize))
    # What was pulled of an unfinished chunk goes with it.
    assert found == [*range(good - good % chunksize), None]


@pytest.mark.parametrize("good", [0, 1, 7, 9])
def test_an_input_that_raises_costs_no_results(any_pool: Any, good: int) -> None:
    found = _until_the_input_ends(any_pool.imap_unordered(_identity, _broken_input(good)))
    assert found.count(None) == 1
    assert sorted(x for x in found if x is not None) == list(range(good))


@pytest.mark.parametrize("chunksize", [1, 3])
def test_the_input_s_error_comes_last_of_all(pool: Pool, chunksize: int) -> None:
    results = pool.imap_unordered(_identity, _broken_input(9), chunksize)
    *found, last = _until_the_input_ends(results)
    assert last is None
    assert sorted(x for x in found if x is not None) == list(range(9))


@BOTH
def test_behind_the_input_s_error_there_is_nothing(pool: Pool, method: str) -> None:
    results = getattr(pool, method)(_identity, _broken_input(3))
    assert sorted(itertools.islice(results, 3)) == [0, 1, 2]
    with pytest.raises(OSError, match="the input is torn"):
        next(results)
    assert list(results) == []
    assert list(results) == []


# ---- the end


@BOTH
@pytest.mark.parametrize("chunksize", [1, 3])
def test_all_is_had_after_close_and_join(any_pool: Any, method: str, chunksize: int) -> None:
    results = getattr(any_pool, method)(_square, iter(range(2000)), chunksize)
    any_pool.close()
    any_pool.join()
    assert sorted(results) == [x * x for x in range(2000)]


def test_close_runs_even_what_nobody_consumes(log: Log, any_pool: Any) -> None:
    any_pool.imap(_logged, [(log, x) for x in range(300)])
    any_pool.imap_unordered(_logged, [(log, x) for x in range(300, 600)], 4)
    any_pool.close()
    any_pool.join()
    assert sorted(map(int, log.lines())) == list(range(600))


@BOTH
def test_consuming_while_the_pool_closes(any_pool: Any, method: str) -> None:
    results = getattr(any_pool, method)(_square, range(3000))
    first = [next(results) for _ in range(10)]
    any_pool.close()
    assert sorted([*first, *results]) == [x * x for x in range(3000)]
    any_pool.join()


@BOTH
def test_an_iterator_dropped_half_way_is_in_nobody_s_way(pool: Pool, method: str) -> None:
    for _ in range(5):
        results = getattr(pool, method)(_blob, Counted(lambda _: 100_000))
        assert [len(next(results)) for _ in range(30)] == [100_000] * 30
        del results
    assert pool.map(_square, range(100)) == [x * x for x in range(100)]


@BOTH
@pytest.mark.parametrize("chunksize", [1, 5])
def test_many_threads_consume_each_result_once(pool: Pool, method: str, chunksize: int) -> None:
    results = getattr(pool, method)(_square, range(4000), chunksize)
    found: list[list[int]] = [[] for _ in range(6)]
    threads = [threading.Thread(target=lambda mine=mine: mine.extend(results)) for mine in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(itertools.chain(*found)) == [x * x for x in range(4000)]
    if method == "imap":
        # Each thread sees its share in order.
        assert all(mine == sorted(mine) for mine in found)


def test_threads_that_consume_get_each_error_once(pool: Pool) -> None:
    results = pool.imap(_refuse_sevenths, range(1000))
    found: list[list[Any]] = [[] for _ in range(4)]
    threads = [
        threading.Thread(target=lambda mine=mine: mine.extend(_outcomes(results))) for mine in found
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    numbers = [x.args[0] if isinstance(x, LookupError) else x for x in itertools.chain(*found)]
    assert sorted(numbers) == list(range(1000))
