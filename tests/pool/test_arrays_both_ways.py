"""Arrays of all sizes, through all calls: equal to their source, writable, and private."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import procession
from procession.futures import Executor
from procession.pool import Pool
from tests.pool.arrays import SIZES, Array, given_back, in_use, inverted, made

METHODS = ["fork", "spawn", "forkserver"]

Call = Callable[[Any, list[Array]], list[Any]]

POOL_CALLS: dict[str, Call] = {
    "apply": lambda pool, arrays: [pool.apply(inverted, (array,)) for array in arrays],
    "keywords": lambda pool, arrays: [
        pool.apply(inverted, kwds={"array": array}) for array in arrays
    ],
    "apply_async": lambda pool, arrays: [
        result.get() for result in [pool.apply_async(inverted, (array,)) for array in arrays]
    ],
    "map": lambda pool, arrays: pool.map(inverted, arrays),
    "map of chunks": lambda pool, arrays: pool.map(inverted, arrays, 3),
    "map of an iterator": lambda pool, arrays: pool.map(inverted, iter(arrays)),
    "starmap": lambda pool, arrays: pool.starmap(inverted, [(array, 2) for array in arrays]),
    "map_async": lambda pool, arrays: pool.map_async(inverted, arrays).get(),
    "imap": lambda pool, arrays: list(pool.imap(inverted, arrays)),
    "imap of chunks": lambda pool, arrays: list(pool.imap(inverted, arrays, 3)),
    "istarmap": lambda pool, arrays: list(pool.istarmap(inverted, [(one,) for one in arrays])),
    "retries": lambda pool, arrays: [
        result.get()
        for result in [pool.options(retries=2).apply_async(inverted, (array,)) for array in arrays]
    ],
    "map with retries": lambda pool, arrays: pool.options(retries=2).map(inverted, arrays, 3),
}
EXECUTOR_CALLS: dict[str, Call] = {
    "submit": lambda made, arrays: [
        future.result() for future in [made.submit(inverted, array) for array in arrays]
    ],
    "map": lambda made, arrays: list(made.map(inverted, arrays)),
    "map of chunks": lambda made, arrays: list(made.map(inverted, arrays, chunksize=3)),
    "map of several": lambda made, arrays: list(made.map(inverted, arrays, range(100))),
}


@pytest.fixture(scope="module", params=METHODS)
def method(request: pytest.FixtureRequest) -> str:
    """A start method."""
    name: str = request.param
    return name


def _check(results: list[Any], arrays: list[Array]) -> None:
    assert len(results) == len(arrays)
    for seed, (result, array) in enumerate(zip(results, arrays, strict=True)):
        source = made(len(array), seed)
        assert np.array_equal(array, source)  # nobody wrote here
        assert np.array_equal(result, ~source)
        assert result.flags.writeable
        result[:] = 7
        assert np.array_equal(array, source)


def _use(door: Any, call: Call, sizes: list[int]) -> None:
    arrays = [made(size, seed) for seed, size in enumerate(sizes)]
    before = in_use()
    results = call(door, arrays)
    _check(results, arrays)
    del results, arrays
    given_back(before)


@pytest.mark.parametrize("name", POOL_CALLS)
def test_a_pool_s_arrays(method: str, name: str) -> None:
    with procession.get_context(method).Pool(2) as pool:
        pool.map(abs, range(100))  # all workers are at home
        _use(pool, POOL_CALLS[name], SIZES if method == "fork" else SIZES[:-1])
    pool.join()


@pytest.mark.parametrize("name", EXECUTOR_CALLS)
def test_an_executor_s_arrays(method: str, name: str) -> None:
    with Executor(2, procession.get_context(method)) as executor:
        list(executor.map(abs, range(100)))
        _use(executor, EXECUTOR_CALLS[name], SIZES if method == "fork" else SIZES[:-1])


def test_unordered_arrays(pool: Pool) -> None:
    arrays = [made(size, seed) for seed, size in enumerate(SIZES)]
    results = list(pool.imap_unordered(inverted, arrays))
    assert sorted(map(len, results)) == sorted(map(len, arrays))
    by_size = {len(result): result for result in results}
    for array in arrays:
        assert np.array_equal(by_size[len(array)], ~array)


def _protected(array: Array) -> Array:
    array.flags.writeable = False
    return array


def _inverted_protected(array: Array) -> Array:
    return _protected(inverted(array))


def test_read_only_arrays(method: str) -> None:
    arrays = [_protected(made(size, seed)) for seed, size in enumerate(SIZES[:-1])]
    with procession.get_context(method).Pool(2) as pool:
        for call in POOL_CALLS.values():
            _check(call(pool, arrays), arrays)
        _check([pool.apply(_inverted_protected, (array,)) for array in arrays], arrays)
        _check(pool.map(_inverted_protected, arrays), arrays)
    pool.join()


def test_what_is_called_back_with_arrays(pool: Pool) -> None:
    got: list[Array] = []
    array = made(1 << 20)
    pool.apply_async(inverted, (array,), callback=got.append).wait()
    pool.map_async(inverted, [array] * 3, callback=got.extend).wait()
    assert len(got) == 4
    assert all(np.array_equal(one, ~array) for one in got)


def _first_of_state() -> int:
    return int(procession.worker_state()[0])


def _keep(array: Array) -> Array:
    assert np.array_equal(array, made(len(array), 5))
    return inverted(array)


def test_initargs(method: str) -> None:
    array = made(1 << 20, 5)
    context = procession.get_context(method)
    with context.Pool(2, initializer=_keep, initargs=(array,)) as pool:
        firsts = pool.map(_call, [_first_of_state] * 10, 1)
        assert firsts == [int(~array[0] & 0xFF)] * 10
    pool.join()
    assert np.array_equal(array, made(1 << 20, 5))


def _call(function: Callable[[], Any]) -> Any:
    return function()


class Adder:
    """A callable with an array of its own: it travels with its calls."""

    def __init__(self, array: Array) -> None:
        self.array = array

    def __call__(self, x: int) -> int:
        self.array[0] += 1
        return int(self.array[0]) + x


def test_a_callable_that_has_an_array(pool: Pool) -> None:
    adder = Adder(made(1 << 20))
    first = int(adder.array[0])
    assert pool.apply(adder, (10,)) == first + 11
    assert pool.apply(adder, (20,)) == first + 21
    assert int(adder.array[0]) == first
    assert all(value > first for value in pool.map(adder, range(10), 1))
    assert int(adder.array[0]) == first


def test_a_closure_that_has_an_array(pool: Pool) -> None:
    array = made(1 << 20, 3)
    assert pool.map(lambda x: int(array[x]), range(20), 1) == array[:20].tolist()
    assert pool.apply(lambda x: int(array[x]), (3,)) == array[3]
    array[3] = 77
    assert pool.apply(lambda x: int(array[x]), (3,)) == 77


def test_large_bytes_and_text(pool: Pool) -> None:
    values = [b"\xab" * 3_000_000, bytearray(3_000_000), "ä€" * 500_000, [b"x" * 70_000] * 3]
    assert pool.map(_same, values, 1) == values
    assert pool.map(_same, values, 4) == values
    assert [pool.apply(_same, (value,)) for value in values] == values
    back = pool.apply(_same, (values[1],))
    assert type(back) is bytearray


def _same(value: Any) -> Any:
    return value


def test_several_buffers_of_one_call(pool: Pool) -> None:
    value: Any = {"a": made(100_000, 1), "b": [made(200_000, 2), made(10, 3)], "c": b"x" * 100_000}
    back = pool.apply(_same, (value,))
    assert np.array_equal(back["a"], value["a"])
    assert all(np.array_equal(one, other) for one, other in zip(back["b"], value["b"], strict=True))
    assert back["c"] == value["c"]


def test_an_error_that_has_an_array(pool: Pool) -> None:
    array = made(1 << 20)
    with pytest.raises(ValueError, match="with an array") as caught:
        pool.apply(_raise, (array,))
    assert np.array_equal(caught.value.args[1], array)


def _raise(array: Array) -> None:
    raise ValueError("with an array", array)
