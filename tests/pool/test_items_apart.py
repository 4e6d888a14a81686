"""Items that travel one by one, as the standard library's do in a chunk of one, also where several
share a record: they know nothing of one another, and each fails alone."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

import procession
from procession.errors.pool import WorkerDied
from procession.pool import Pool
from tests.plugins.scripts import RunScript

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
    numpy = pytest.importorskip("numpy")
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
