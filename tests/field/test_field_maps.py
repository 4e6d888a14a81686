"""One map for every need: unpacked items, errors that cost nothing else, many small calls."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.field.doors import Door, Pool, mp, square


def _power(base: int, exponent: int) -> int:
    return base**exponent  # type: ignore[no-any-return]


def _odd_ones_fail(x: int) -> int:
    if x % 2:
        raise LookupError(x)
    return x


def _fail_for_a_while(item: tuple[str, int]) -> int:
    """The first two runs of an item fail."""
    path, x = item
    with open(f"{path}/{x}", "a+b", buffering=0) as file:
        file.write(b"x")
        if file.tell() < 3:
            raise ConnectionError(x)
    return x


def test_there_is_an_istarmap() -> None:
    with Pool(2) as pool:
        results = pool.istarmap(_power, ((x, 2) for x in range(100)))
        assert list(results) == [x * x for x in range(100)]


def test_items_can_be_unpacked_by_any_map(door: type[Door]) -> None:
    with door(2) as pool:
        pairs = [(x, 2) for x in range(20)]
        assert pool.map(lambda x, y: x + y, pairs, star=True) == [x + 2 for x in range(20)]
        assert list(pool.stream(_power, pairs, star=True)) == [x * x for x in range(20)]


def test_errors_can_be_had_as_values(door: type[Door]) -> None:
    with door(2) as pool:
        found = pool.map(_odd_ones_fail, range(20), errors="return")
        assert [x for x in found if isinstance(x, int)] == [*range(0, 20, 2)]
        assert [x.args for x in found if isinstance(x, LookupError)] == [
            (x,) for x in range(1, 20, 2)
        ]
        assert len(found) == 20


def test_errors_can_be_left_out(door: type[Door]) -> None:
    with door(2) as pool:
        assert pool.map(_odd_ones_fail, range(20), errors="skip") == [*range(0, 20, 2)]
        stream = pool.stream(_odd_ones_fail, range(20), errors="skip")
        assert list(stream) == [*range(0, 20, 2)]


def test_errors_can_be_had_all_together(door: type[Door]) -> None:
    with door(2) as pool:
        with pytest.raises(ExceptionGroup) as caught:
            pool.map(_odd_ones_fail, range(20), errors="group")
        found = {error.args for error in caught.value.exceptions}
        assert found == {(x,) for x in range(1, 20, 2)}
        assert all(isinstance(error, LookupError) for error in caught.value.exceptions)


def test_results_can_be_had_as_they_come(door: type[Door]) -> None:
    event = mp.Event()
    with door(2) as pool:
        items = [(event, 0), *((None, x) for x in range(1, 10))]
        results = pool.stream(_wait_for, items, ordered=False)
        assert sorted(next(results) for _ in range(9)) == [*range(1, 10)]
        event.set()
        assert next(results) == 0
        assert list(results) == []


def _wait_for(item: tuple[Any, int]) -> int:
    event, x = item
    if event is not None:
        event.wait()
    return x


def test_an_item_that_fails_is_run_again(door: type[Door], tmp_path: Any) -> None:
    with door(2, retries=2) as pool:
        items = [(str(tmp_path), x) for x in range(20)]
        assert pool.map(_fail_for_a_while, items) == [*range(20)]


def test_a_late_result_does_not_end_the_iteration() -> None:
    event = mp.Event()
    with Pool(2) as pool:
        results = pool.imap(_wait_for, [(event, 0), (None, 1), (None, 2)])
        with pytest.raises(TimeoutError):
            results.next(0)
        event.set()
        assert list(results) == [0, 1, 2]


def test_an_error_in_one_map_is_not_anothers(door: type[Door]) -> None:
    with door(2) as pool:
        found: dict[str, Any] = {}

        def run(name: str, function: Any) -> None:
            try:
                found[name] = pool.map(function, range(100))
            except LookupError:
                found[name] = "error"

        threads = [
            threading.Thread(target=run, args=item)
            for item in [("bad", _odd_ones_fail), ("good", square)]
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == {"bad": "error", "good": [x * x for x in range(100)]}


# ---- many small calls


def test_many_small_calls_come_back_right(door: type[Door]) -> None:
    with door(2) as pool:
        results = [pool.submit(square, x) for x in range(20_000)]
        assert [pool.get(result) for result in results] == [x * x for x in range(20_000)]


def test_many_threads_with_small_calls_do_not_hang(door: type[Door]) -> None:
    with door(2) as pool:
        found: list[list[int]] = [[] for _ in range(8)]

        def run(mine: list[int]) -> None:
            mine.extend(pool.call(square, x) for x in range(500))

        threads = [threading.Thread(target=run, args=(mine,)) for mine in found]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [[x * x for x in range(500)]] * 8


def test_a_million_small_items() -> None:
    with Pool(2) as pool:
        assert sum(pool.map(square, range(1_000_000))) == sum(x * x for x in range(1_000_000))


def test_one_map_of_single_items_is_right(door: type[Door]) -> None:
    with door(2) as pool:
        found = pool.made.map(square, range(5000), chunksize=1)
        assert list(found) == [x * x for x in range(5000)]
