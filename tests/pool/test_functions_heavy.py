"""Functions that captured much, ever new ones: what nobody has any more takes no room."""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from procession import _core
from procession.pool import Pool
from tests.pool.arrays import in_use

MEMORY = 64 << 20
SIZE = 1 << 20  # numbers: 8 MiB
COUNT = 24


@pytest.fixture
def small_pool() -> Iterator[Pool]:
    """A pool of two workers, and little memory."""
    before = _core.memory_budget()
    with Pool(2, memory=MEMORY) as pool:
        yield pool
    pool.join()
    _core.memory_budget(before)


def _at(array: Any, place: int) -> float:
    return float(array[place])


def _at_5(array: Any) -> float:
    return _at(array, 5)


def _by_global(array: Any) -> Callable[[int], float]:
    scope: dict[str, Any] = {"array": array}
    exec("function = lambda place: float(array[place])", scope)
    function: Callable[[int], float] = scope["function"]
    return function


KINDS: dict[str, Callable[[Any], Callable[[int], float]]] = {
    "partial": lambda array: functools.partial(_at, array),
    "closure": lambda array: lambda place: float(array[place]),
    "global": _by_global,
}


@pytest.mark.parametrize("size", [SIZE, 3 * SIZE // 2])
@pytest.mark.parametrize("kind", KINDS)
def test_ever_new_functions_do_not_fill_the_budget(small_pool: Pool, kind: str, size: int) -> None:
    for number in range(COUNT):
        function = KINDS[kind](np.full(size, number))
        assert small_pool.map(function, range(4), chunksize=1) == [number] * 4
        del function
        gc.collect()
        assert in_use() < MEMORY * 3 // 4


def test_what_was_published_for_a_call_is_gone_with_it(small_pool: Pool) -> None:
    small_pool.map(abs, range(4), chunksize=1)
    before = _core.arena_statistics()["block_bytes"]
    for number in range(3):
        function = functools.partial(_at, np.full(SIZE, number))
        assert small_pool.map(function, range(4), chunksize=1) == [number] * 4
        small_pool.apply(abs, (1,))
        small_pool.map(abs, range(8), chunksize=1)
    assert _core.arena_statistics()["block_bytes"] - before < 8 * SIZE


def test_large_arguments_push_heavy_functions_out(small_pool: Pool) -> None:
    function = _by_global(np.full(14 << 17, 7))  # 14 MiB: workers do not keep it
    assert small_pool.apply(function, (0,)) == 7
    large = np.ones(36 << 17)
    assert small_pool.apply(_at, (large, 5)) == 1
    assert small_pool.map(_at_5, [large]) == [1]
    assert small_pool.apply(function, (0,)) == 7
