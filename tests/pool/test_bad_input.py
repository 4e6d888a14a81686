"""Calls that can not be: an error of that call, at once, and the pool goes on."""

from __future__ import annotations

import builtins
import os
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from procession import _core
from procession.futures import Executor
from procession.pool import Pool
from tests.pool.gates import error_of


def _square(x: int) -> int:
    return x * x


MAPS = ["map", "map_async", "starmap", "starmap_async", "imap", "imap_unordered"]


def _nothing() -> Iterator[int]:
    yield from ()


def _goes_on(pool: Any) -> None:
    assert pool.apply(_square, (3,)) == 9
    assert pool.map(_square, range(20)) == [x * x for x in range(20)]
    assert list(pool.imap(_square, range(20))) == [x * x for x in range(20)]


# ---- making one


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"processes": 0}, ValueError),
        ({"processes": -1}, ValueError),
        ({"processes": "2"}, TypeError),
        ({"processes": 2.5}, TypeError),
        ({"initializer": 7}, TypeError),
        ({"initializer": "print"}, TypeError),
        ({"maxtasksperchild": 0}, ValueError),
        ({"maxtasksperchild": -1}, ValueError),
        ({"maxtasksperchild": "1"}, ValueError),
        ({"maxtasksperchild": 1.5}, ValueError),
    ],
)
def test_no_pool_is_made_of_such_arguments(
    mp: Any, arguments: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        mp.Pool(**{"processes": 2, **arguments})


DOORS: list[tuple[type[Any], str, str]] = [
    (Pool, "processes", "context"),
    (Executor, "max_workers", "mp_context"),
]


@pytest.mark.parametrize(("door", "count", "context"), DOORS)
def test_a_number_of_workers_that_can_not_be(door: type[Any], count: str, context: str) -> None:
    for value in ("2", True, 2.5, [2]):
        with pytest.raises(TypeError, match=f"{count} must be a whole number, not"):
            door(value)
    for value in (4001, 10**6, 10**30):
        with pytest.raises(ValueError, match=f"{count} must be at most 4000, not {value}"):
            door(value)


@pytest.mark.parametrize(("door", "count", "context"), DOORS)
def test_a_name_is_no_context(door: type[Any], count: str, context: str) -> None:
    with pytest.raises(TypeError, match=rf"^{context} must be .* get_context\('spawn'\)$"):
        door(1, **{context: "spawn"})
    with pytest.raises(TypeError, match=f"^{context} must be .* what get_context"):
        door(1, **{context: 7})


@pytest.mark.parametrize("door", [Pool, Executor])
@pytest.mark.parametrize("value", ["1G", 1.5, True])
def test_a_limit_of_memory_that_is_no_number(door: type[Any], value: Any) -> None:
    with pytest.raises(TypeError, match="max_memory must be a whole number of bytes or None"):
        door(1, max_memory=value)


@pytest.mark.parametrize("door", [Pool, Executor])
@pytest.mark.parametrize("name", ["memory", "max_memory"])
@pytest.mark.parametrize("value", [0, -1, 1 << 64, 10**30])
def test_a_limit_of_memory_that_can_not_be(door: type[Any], name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be a number of bytes, .*, not {value}$"):
        door(1, **{name: value})


def test_the_largest_budget() -> None:
    before = _core.memory_budget()
    try:
        with Pool(1, memory=(1 << 64) - 1) as pool:
            _goes_on(pool)
    finally:
        _core.memory_budget(before)


@pytest.mark.parametrize("size", [2.5, True, "a", None])
def test_a_size_that_is_no_number(pool: Pool, size: Any) -> None:
    with pytest.raises(TypeError, match="processes must be a whole number, not"):
        pool.resize(size)
    _goes_on(pool)


@pytest.mark.parametrize("timeout", ["1", [1], 1j, object()])
def test_a_timeout_that_is_no_number(pool: Pool, timeout: Any) -> None:
    result = pool.apply_async(_square, (2,))
    for call in (result.get, result.wait, pool.imap(_square, [1]).next):
        with pytest.raises(TypeError, match="timeout must be a number of seconds or None"):
            call(timeout)
    assert result.get(True) == 4
    with pytest.raises(TypeError, match="timeout"):
        result.get(timeout)
    _goes_on(pool)


def test_a_timeout_of_a_future_that_is_no_number() -> None:
    timeout: Any = "1"
    with Executor(1) as executor:
        future = executor.submit(_square, 2)
        for call in (future.result, future.exception):
            with pytest.raises(TypeError, match="timeout must be a number of seconds or None"):
                call(timeout)
        with pytest.raises(TypeError, match="timeout must be a number"):
            executor.map(_square, [1], timeout=timeout)
        assert future.result() == 4


def test_initargs_have_to_be_iterable() -> None:
    with pytest.raises(TypeError, match="not iterable"):
        Pool(2, initializer=abs, initargs=7)  # type: ignore[arg-type]


# ---- arguments of the calls


@pytest.mark.parametrize("method", MAPS)
@pytest.mark.parametrize("items", [7, None, object()])
def test_an_input_that_is_not_iterable(any_pool: Any, method: str, items: Any) -> None:
    with pytest.raises(TypeError, match="not iterable"):
        _all(getattr(any_pool, method)(_square, items))
    _goes_on(any_pool)


def _all(result: Any) -> Any:
    if hasattr(result, "get"):
        return result.get()
    return list(result) if isinstance(result, Iterator) else result


@pytest.mark.parametrize("method", MAPS)
@pytest.mark.parametrize(
    ("size", "error"), [(0, ValueError), (-1, ValueError), ("2", TypeError), (2.5, TypeError)]
)
def test_a_chunk_size_that_is_no_positive_number(
    pool: Pool, method: str, size: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        getattr(pool, method)(_square, [1, 2], size)
    _goes_on(pool)


@pytest.mark.parametrize("method", ["imap", "imap_unordered"])
@pytest.mark.parametrize("size", [0, -1])
def test_imap_refuses_chunk_sizes_as_the_library_does(
    any_pool: Any, method: str, size: int
) -> None:
    with pytest.raises(ValueError, match=f"Chunksize must be 1\\+, not {size}"):
        getattr(any_pool, method)(_square, [1, 2], size)
    _goes_on(any_pool)


def test_a_chunk_size_may_be_anything_with_an_index(pool: Pool) -> None:
    class Two:
        def __index__(self) -> int:
            return 2

    size: Any = Two()
    assert pool.map(_square, range(5), size) == [0, 1, 4, 9, 16]
    assert list(pool.imap(_square, range(5), size)) == [0, 1, 4, 9, 16]


@pytest.mark.parametrize(
    "call",
    [
        lambda pool: pool.apply(_square, 7),
        lambda pool: pool.apply(_square, None),
        lambda pool: pool.apply_async(_square, 7),
        lambda pool: pool.apply(_square, (), 7),
        lambda pool: pool.apply(_square, (), None),
        lambda pool: pool.apply(_square, (), [1]),
    ],
)
def test_arguments_that_are_none(pool: Pool, call: Callable[[Pool], Any]) -> None:
    with pytest.raises(TypeError):
        call(pool)
    _goes_on(pool)


@pytest.mark.parametrize("function", [7, None, "abs"])
def test_what_can_not_be_called_fails_as_a_call(any_pool: Any, function: Any) -> None:
    for call in (
        lambda: any_pool.apply(function),
        lambda: any_pool.map(function, [1]),
        lambda: any_pool.starmap(function, [(1,)]),
        lambda: list(any_pool.imap(function, [1])),
    ):
        with pytest.raises(TypeError, match="not callable"):
            call()
    _goes_on(any_pool)


def test_items_that_can_not_be_unpacked(any_pool: Any) -> None:
    with pytest.raises(TypeError):
        any_pool.starmap(_square, [(1,), 2])
    _goes_on(any_pool)


def test_arguments_that_do_not_fit_the_function(any_pool: Any) -> None:
    with pytest.raises(TypeError, match="positional argument"):
        any_pool.apply(_square)
    with pytest.raises(TypeError, match="positional argument"):
        any_pool.starmap(_square, [(1, 2)])
    _goes_on(any_pool)


# ---- what can not be pickled


class Unpicklable:
    """Can be pickled by nobody."""

    def __reduce__(self) -> Any:
        raise RuntimeError("keep it here")

    def __call__(self, _: object = None) -> int:
        return 1


CALLS_WITH: list[Callable[[Any, Any], Any]] = [
    lambda pool, what: pool.apply(len, (what,)),
    lambda pool, what: pool.apply(dict, (), {"key": what}),
    lambda pool, what: pool.apply_async(len, (what,)).get(),
    lambda pool, what: pool.map(len, [what]),
    lambda pool, what: pool.map_async(len, [[], what], 1).get(),
    lambda pool, what: pool.starmap(len, [(what,)]),
    lambda pool, what: list(pool.imap(len, [what])),
    lambda pool, what: list(pool.imap_unordered(len, [what], 2)),
    lambda pool, what: pool.apply(what),
    lambda pool, what: pool.map(what, [1]),
    lambda pool, what: list(pool.imap(what, [1])),
]


@pytest.mark.parametrize("call", CALLS_WITH)
def test_what_can_not_be_pickled_is_that_call_s_error(
    any_pool: Any, call: Callable[[Any, Any], Any]
) -> None:
    with pytest.raises(RuntimeError, match="keep it here"):
        call(any_pool, Unpicklable())
    _goes_on(any_pool)


@pytest.mark.parametrize("call", CALLS_WITH[:8])
def test_the_error_speaks_of_the_object(pool: Pool, call: Callable[[Any, Any], Any]) -> None:
    with pytest.raises((TypeError, pickle.PicklingError), match="generator"):
        call(pool, _nothing())
    _goes_on(pool)


def test_a_result_is_not_to_be_pickled(pool: Pool) -> None:
    result = pool.apply_async(abs, (-1,))
    with pytest.raises(TypeError, match=r"send what get\(\) returns"):
        pool.apply(id, (result,))
    assert result.get() == 1


def test_arguments_are_pickled_before_apply_async_returns(pool: Pool) -> None:
    items = [1, 2, 3]
    result = pool.apply_async(sum, (items,))
    items.append(100)
    assert result.get() == 6
    with pytest.raises(RuntimeError, match="keep it here"):
        pool.apply_async(len, (Unpicklable(),))


# ---- at the wrong time, in the wrong place

CALLS: list[Callable[[Any], Any]] = [
    lambda pool: pool.apply(_square, (1,)),
    lambda pool: pool.apply_async(_square, (1,)),
    lambda pool: pool.map(_square, [1]),
    lambda pool: pool.map(_square, []),
    lambda pool: pool.map_async(_square, [1]),
    lambda pool: pool.starmap(_square, [(1,)]),
    lambda pool: pool.starmap_async(_square, [(1,)]),
    lambda pool: pool.imap(_square, [1]),
    lambda pool: pool.imap_unordered(_square, [1]),
    lambda pool: pool.__enter__(),
]


@pytest.mark.parametrize("end", ["close", "terminate"])
def test_an_ended_pool_takes_nothing(any_pool: Any, end: str) -> None:
    getattr(any_pool, end)()
    for _ in range(2):
        for call in CALLS:
            with pytest.raises(ValueError, match="Pool not running"):
                call(any_pool)
        any_pool.join()


def test_an_input_is_not_touched_by_an_ended_pool(any_pool: Any) -> None:
    touched: list[str] = []

    def items() -> Iterator[int]:
        touched.append("begun")
        yield 1

    any_pool.close()
    for method in MAPS:
        with pytest.raises(ValueError, match="Pool not running"):
            getattr(any_pool, method)(_square, items())
    assert touched == []
    any_pool.join()


def test_a_running_pool_can_not_be_joined(any_pool: Any) -> None:
    with pytest.raises(ValueError, match="Pool is still running"):
        any_pool.join()
    _goes_on(any_pool)


def test_a_pool_belongs_to_the_process_that_made_it(pool: Pool) -> None:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        said = []
        for call in [*CALLS, Pool.close, Pool.join]:
            try:
                call(pool)
                said.append("nothing")
            except BaseException as error:
                said.append(f"{type(error).__name__}: {error}")
        pool.terminate()  # does nothing, lest a with-block in the parent's code fails here
        os.write(write, "\n".join(said).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        said = pipe.read().splitlines()
    assert os.waitpid(child, 0)[1] == 0
    assert len(said) == len(CALLS) + 2
    for line in said:
        assert line.startswith("ValueError: this pool belongs to another process")
    _goes_on(pool)


def _use(pool: Any) -> Any:
    return pool.apply(_square, (1,))


def test_a_pool_does_not_travel_to_its_own_tasks(pool: Pool) -> None:
    with pytest.raises(NotImplementedError, match="cannot be passed between processes"):
        pool.apply(_use, (pool,))
    result = pool.map_async(_use, [pool])
    assert isinstance(error_of(result), NotImplementedError)
    _goes_on(pool)


def _replace_map() -> None:
    builtins.map = lambda function, *items: [*_map(function, *items)]  # type: ignore[assignment, misc]


_map = map


def test_a_map_that_somebody_has_replaced_in_the_workers_is_told() -> None:
    """By one that gives no iterator: the worker goes on."""
    with Pool(1, _replace_map) as pool:
        with pytest.raises(TypeError, match=r"map\(\) returned no iterator, but \["):
            pool.map(abs, [-1, -2])
        assert pool.apply(abs, (-3,)) == 3
    pool.join()
