"""Items that travel one by one, as the standard library's do in a chunk of one, also where several
share a record: they know nothing of one another, and each fails alone."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import procession
from procession.errors.pool import WorkerDied
from procession.pool import Pool
from tests.plugins.scripts import RunScript

numpy = pytest.importorskip("numpy")

ITEMS = 3000
"""So many of the shortest tasks share records, after the first ones."""

GUILTY = 2500


def _add(item: Any) -> int:
    """Changes what it was given; tells how often that was done to it."""
    part = item[1]["part"] if isinstance(item, tuple) else item
    part[0] += 1
    return int(part[0])


def _length(item: Any) -> int:
    return len(item)


class NotPickled:
    def __reduce__(self) -> Any:
        raise RuntimeError("stays here")


class NotUnpickled:
    def __init__(self, how: Callable[[], object]) -> None:
        self.how = how

    def __reduce__(self) -> Any:
        return _arrive, (self.how, os.getpid())


def _arrive(how: Callable[[], object], pid: int) -> object:
    return None if os.getpid() == pid else how()


class Signals:
    """Gets a signal while it is pickled, for the first time."""

    def __init__(self) -> None:
        self.had = False

    def __reduce__(self) -> Any:
        if not self.had:
            self.had = True
            signal.raise_signal(signal.SIGUSR1)
        return Signals, ()


def _end() -> None:
    raise StopIteration


def _fail() -> None:
    raise OSError("not there")


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _imap(pool: Any, items: Any) -> set[int]:
    return set(pool.imap(_add, items))


def _imap_unordered(pool: Any, items: Any) -> set[int]:
    return set(pool.imap_unordered(_add, items))


def _map(pool: Any, items: Any) -> set[int]:
    return set(pool.map(_add, items, 1))


@pytest.mark.parametrize("call", [_imap, _imap_unordered, _map])
@pytest.mark.parametrize("size", [1, 200_000])
def test_an_item_that_comes_again_is_a_new_one_each_time(
    any_pool: Any, call: Callable[[Any, Any], set[int]], size: int
) -> None:
    part = bytearray(size)
    count = ITEMS if size == 1 else 100
    assert call(any_pool, [part] * count) == {1}
    assert call(any_pool, [(place, {"part": part}) for place in range(count)]) == {1}
    assert part[0] == 0


def test_so_are_arrays(pool: Pool) -> None:
    for size in (1, 200_000):
        part = numpy.zeros(size, numpy.uint8)
        assert _imap(pool, [part] * 300) == {1}
        assert _imap(pool, [(place, {"part": part}) for place in range(300)]) == {1}


def test_so_are_an_executor_s() -> None:
    with procession.Executor(2) as executor:
        part = [0]
        assert set(executor.map(_add, [part] * ITEMS)) == {1}


def test_items_of_a_chunk_keep_what_they_have_in_common(any_pool: Any) -> None:
    part = [0]
    assert list(any_pool.imap(_add, [part] * 6, 3)) == [1, 2, 3] * 2
    assert any_pool.map(_add, [part] * 6, 3) == [1, 2, 3] * 2


def _first(item: Any) -> Any:
    return item[0]


def _second(item: Any) -> Any:
    return item[1]


def _part(item: Any) -> Any:
    return item.part


class Holder:
    """Something that has a part."""

    part = 0


def _one_list(count: int) -> Iterator[Any]:
    row = [0]
    for number in range(count):
        row[0] = number
        yield row


def _one_list_in_tuples(count: int) -> Iterator[Any]:
    return ((row, 1) for row in _one_list(count))


def _one_array(count: int, size: int) -> Iterator[Any]:
    buffer = numpy.zeros(size, numpy.int64)
    for number in range(count):
        buffer[:] = number
        yield buffer


def _one_object(count: int) -> Iterator[Any]:
    holder = Holder()
    for number in range(count):
        holder.part = number
        yield holder


def _emptied(count: int) -> Iterator[Any]:
    for number in range(count):
        row = [number]
        yield row
        row.clear()


REUSED: list[tuple[Any, Any, int]] = [
    (_first, _one_list, ITEMS),
    (lambda item: item[0][0], _one_list_in_tuples, ITEMS),
    (_first, partial(_one_array, size=1), ITEMS),
    (_first, partial(_one_array, size=50_000), 200),
    (_part, _one_object, ITEMS),
    (_first, _emptied, ITEMS),
]


@pytest.mark.parametrize(("function", "items", "count"), REUSED)
@pytest.mark.parametrize("method", ["imap", "imap_unordered"])
def test_an_input_may_change_what_it_gave(
    pool: Pool, method: str, function: Any, items: Any, count: int
) -> None:
    found = getattr(pool, method)(function, items(count))
    assert sorted(map(int, found)) == list(range(count))


@pytest.mark.parametrize("view", ["journal", "bounded", "executor"])
def test_so_it_may_in_other_ways_of_running(pool: Pool, view: str, tmp_path: Path) -> None:
    count = 300
    if view == "journal":
        options = pool.options(journal=tmp_path / "run.sqlite")
        assert list(options.imap(_first, _one_list(count))) == list(range(count))
    elif view == "bounded":
        options = pool.options(max_in_flight=100)
        assert list(options.imap(_first, _one_list(count))) == list(range(count))
    else:
        with ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as executor:
            with Pool(2, backend=executor) as other:
                assert list(other.imap(_first, _one_list(count))) == list(range(count))
            other.join()


def test_an_input_that_gives_what_can_not_be_pickled(pool: Pool) -> None:
    def rows() -> Iterator[Any]:
        for number in range(ITEMS):
            yield [NotPickled()] if number == GUILTY else [number]

    found = list(pool.options(errors="return").imap(_length, rows()))
    assert [place for place, one in enumerate(found) if one != 1] == [GUILTY]


def test_locks_that_an_input_gives(pool: Pool) -> None:
    lock = procession.Lock()
    assert set(pool.imap(_with_lock, ((lock, [at]) for at in range(200)))) == {1}


def _with_lock(item: Any) -> int:
    lock, part = item
    with lock:
        return len(part)


@pytest.mark.parametrize(
    ("what", "error"),
    [
        (NotPickled(), RuntimeError),
        (NotUnpickled(_fail), OSError),
        (NotUnpickled(_die), WorkerDied),
    ],
)
def test_one_among_many_fails_alone(pool: Pool, what: Any, error: type[Exception]) -> None:
    items: list[Any] = [[place] for place in range(ITEMS)]
    items[GUILTY] = [what]
    found = list(pool.options(errors="return").imap(_length, items))
    failed = {place: one for place, one in enumerate(found) if one != 1}
    assert list(failed) == [GUILTY]
    assert type(failed[GUILTY]) is error


@pytest.mark.parametrize("item", [NotUnpickled(_fail), NotUnpickled(_end)])
def test_so_does_one_on_another_engine(item: Any) -> None:
    part: list[Any] = []
    items: list[Any] = [(part, place) for place in range(ITEMS)]
    items[GUILTY] = (part, item)
    with ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as executor:
        with Pool(2, backend=executor) as pool:
            found = list(pool.options(errors="return").imap(_length, items))
        pool.join()
    assert len(found) == ITEMS
    assert [place for place, one in enumerate(found) if one != 2] == [GUILTY]


def test_a_signal_handler_s_error_is_not_lost(pool: Pool) -> None:
    class Late(Exception):
        pass

    def handle(*_: object) -> None:
        raise Late

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        items: list[Any] = [[place] for place in range(ITEMS)]
        items[GUILTY] = [Signals()]
        found = list(pool.options(errors="return").imap(_length, items))
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert [type(one) for one in found if one != 1] == [Late]


def test_bytes_under_way_are_counted_once(pool: Pool) -> None:
    items: list[Any] = [[place] for place in range(ITEMS)]
    items[::200] = [[NotPickled()]] * len(items[::200])
    stream = pool.options(errors="return").imap(_length, items)
    job = stream._job
    assert sum(one == 1 for one in stream) == ITEMS - len(items[::200])
    assert job._bytes_sent == 0


def test_a_generator_fails_alone(pool: Pool) -> None:
    items: list[Any] = [[place] for place in range(ITEMS)]
    items[GUILTY] = [1], (one for one in "ab")
    found = list(pool.options(errors="return").imap_unordered(_length, iter(items)))
    errors = [one for one in found if one != 1]
    assert len(found) == ITEMS
    assert len(errors) == 1
    assert "generator" in str(errors[0])


def test_what_the_workers_main_module_lacks_in_the_midst(run_script: RunScript) -> None:
    done = run_script(
        """
import procession as mp

class Point:
    def __init__(self, x):
        self.x = x

def total(item):
    part, one = item
    part.append(one)
    return len(part) + (one.x if isinstance(one, Point) else one)

part = []
items = [(part, Point(i) if i > 1500 else i) for i in range(3000)]
with mp.get_context("spawn").Pool(2) as pool:
    print(list(pool.imap(total, items)) == [i + 1 for i in range(3000)])
pool.join()
"""
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["True"]
