"""What the standard library's pool and ours have in common, and the little that differs."""

from __future__ import annotations

import multiprocessing.pool
import os
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest

import procession.pool
from procession.pool import AsyncResult, MapResult, Pool
from tests.pool.gates import Gate


def _square(x: int) -> int:
    return x * x


def _add(x: int, y: int = 0, *, z: int = 0) -> int:
    return x + 10 * y + 100 * z


def _identity(x: Any) -> Any:
    return x


def _pid(_: object = None) -> int:
    return os.getpid()


def _through(gate: Gate, x: int) -> int:
    gate.pass_through()
    return x


def _refuse(x: int) -> int:
    raise LookupError(x)


# ---- one task


@pytest.mark.parametrize(
    ("args", "kwds", "expected"),
    [
        ((1,), {}, 1),
        ((1, 2), {}, 21),
        ((1,), {"y": 2}, 21),
        ((), {"x": 1, "y": 2, "z": 3}, 321),
        ([1, 2], {"z": 3}, 321),
    ],
)
def test_apply_passes_arguments(any_pool: Any, args: Any, kwds: Any, expected: int) -> None:
    assert any_pool.apply(_add, args, kwds) == expected
    assert any_pool.apply_async(_add, args, kwds).get() == expected


def test_arguments_may_be_any_iterable(pool: Pool) -> None:
    assert pool.apply(_add, iter([1, 2])) == 21
    assert pool.apply(_add, {3: "ignored"}) == 3


def test_keywords_of_the_methods_have_the_same_names(any_pool: Any) -> None:
    assert any_pool.apply(func=_add, args=(1,), kwds={"y": 1}) == 11
    result = any_pool.apply_async(func=_add, args=(1,), kwds={}, callback=None, error_callback=None)
    assert result.get(timeout=None) == 1
    assert any_pool.map(func=_square, iterable=[2], chunksize=1) == [4]
    assert any_pool.starmap(func=_add, iterable=[(2,)], chunksize=1) == [2]
    result = any_pool.map_async(
        func=_square, iterable=[3], chunksize=1, callback=None, error_callback=None
    )
    assert result.get() == [9]
    result = any_pool.starmap_async(
        func=_add, iterable=[(3,)], chunksize=1, callback=None, error_callback=None
    )
    assert result.get() == [3]
    assert list(any_pool.imap(func=_square, iterable=[2], chunksize=1)) == [4]
    assert list(any_pool.imap_unordered(func=_square, iterable=[2], chunksize=1)) == [4]


def test_many_results_come_each_to_its_own(any_pool: Any) -> None:
    results = [any_pool.apply_async(_square, (x,)) for x in range(500)]
    assert [result.get() for result in reversed(results)] == [x * x for x in reversed(range(500))]


@pytest.mark.parametrize("size", [0, 1, 1000, 70_000, 3_000_000])
def test_payloads_of_any_size(any_pool: Any, size: int) -> None:
    payload = os.urandom(size)
    assert any_pool.apply(_identity, (payload,)) == payload
    assert any_pool.map(_identity, [payload] * 3) == [payload] * 3


def test_tasks_run_in_other_processes(any_pool: Any) -> None:
    pids = set(any_pool.map(_pid, range(20), 1))
    assert os.getpid() not in pids
    assert 1 <= len(pids) <= 2


# ---- many items


@pytest.mark.parametrize("chunksize", [None, 1, 2, 7, 50, 51, 10_000])
@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_map_keeps_the_order(any_pool: Any, count: int, chunksize: int | None) -> None:
    expected = [x * x for x in range(count)]
    assert any_pool.map(_square, range(count), chunksize) == expected
    assert any_pool.map_async(_square, range(count), chunksize).get() == expected


@pytest.mark.parametrize("chunksize", [None, 1, 3, 1000])
def test_starmap_unpacks_each_item(any_pool: Any, chunksize: int | None) -> None:
    items = [(1,), (1, 2), [3, 4]]
    assert any_pool.starmap(_add, items, chunksize) == [1, 21, 43]
    assert any_pool.starmap_async(_add, items, chunksize).get() == [1, 21, 43]
    assert any_pool.starmap(_add, iter(items), chunksize) == [1, 21, 43]
    assert any_pool.starmap(_add, [], chunksize) == []
    assert any_pool.starmap(max, ["ab", "dc"], chunksize) == ["b", "d"]


INPUTS: list[tuple[str, Callable[[], Any]]] = [
    ("range", lambda: range(3, 30, 4)),
    ("range backwards", lambda: range(10, 0, -1)),
    ("list", lambda: [3, 1, 2]),
    ("tuple", lambda: (3, 1, 2)),
    ("generator", lambda: (x for x in range(10))),
    ("iterator", lambda: iter([3, 1, 2])),
    ("map object", lambda: map(abs, [-3, 1])),
    ("set", lambda: {3, 1, 2}),
    ("dict", lambda: {"a": 1, "b": 2}),
    ("view of a dict", {"a": 1, "b": 2}.items),
    ("string", lambda: "abc"),
    ("bytes", lambda: b"abc"),
    ("bytearray", lambda: bytearray(b"abc")),
    ("memoryview", lambda: memoryview(b"abc")),
    (
        "subclass of list",
        lambda: type("Reversed", (list,), {"__iter__": list.__reversed__})([1, 2]),
    ),
]


@pytest.mark.parametrize("chunksize", [None, 1, 2])
@pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in INPUTS])
def test_any_iterable_is_an_input(
    any_pool: Any, make: Callable[[], Any], chunksize: int | None
) -> None:
    expected = list(make())
    assert any_pool.map(_identity, make(), chunksize) == expected
    assert any_pool.map_async(_identity, make(), chunksize).get() == expected
    assert list(any_pool.imap(_identity, make(), chunksize or 1)) == expected
    unordered = any_pool.imap_unordered(_identity, make(), chunksize or 1)
    assert sorted(unordered, key=expected.index) == expected


class _OnlyGetitem:
    """The old protocol: no __iter__, no __len__."""

    def __getitem__(self, index: int) -> int:
        if index >= 5:
            raise IndexError
        return index + 1


def test_the_old_iteration_protocol_is_enough(any_pool: Any) -> None:
    assert any_pool.map(_identity, _OnlyGetitem()) == [1, 2, 3, 4, 5]
    assert list(any_pool.imap(_identity, _OnlyGetitem())) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("kind", ["map_async", "starmap_async"])
def test_results_of_empty_inputs_are_there_at_once(any_pool: Any, kind: str) -> None:
    result = getattr(any_pool, kind)(_square, [])
    assert result.ready()
    assert result.successful()
    assert result.get(0) == []


def test_map_async_takes_the_list_as_it_is_at_the_call(gate: Gate, pool: Pool) -> None:
    first = [pool.apply_async(_through, (gate, 0)) for _ in range(2)]  # both workers are busy
    items = list(range(1000))
    result = pool.map_async(_identity, items)
    items[:] = [-1]
    gate.open(2)
    assert result.get() == list(range(1000))
    assert [one.get() for one in first] == [0, 0]


# ---- results


def test_a_result_says_whether_it_is_ready(gate: Gate, any_pool: Any) -> None:
    result = any_pool.apply_async(_through, (gate, 7))
    assert not result.ready()
    with pytest.raises(ValueError, match="not ready"):
        result.successful()
    assert result.wait(0) is None
    assert not result.ready()
    gate.open()
    result.wait()
    assert result.ready()
    assert result.successful()
    assert result.get() == 7
    assert result.get(0) == 7  # as often as one likes


def test_a_failed_result_is_ready_and_not_successful(any_pool: Any) -> None:
    for result in (
        any_pool.apply_async(_refuse, (5,)),
        any_pool.map_async(_refuse, [5]),
        any_pool.starmap_async(_refuse, [(5,)]),
    ):
        result.wait()
        assert result.ready()
        assert not result.successful()
        for _ in range(2):
            with pytest.raises(LookupError, match="5"):
                result.get()


@pytest.mark.parametrize("timeout", [0, 0.01, -1])
def test_get_raises_when_time_is_up(gate: Gate, mp: Any, any_pool: Any, timeout: float) -> None:
    single = any_pool.apply_async(_through, (gate, 1))
    many = any_pool.starmap_async(_through, [(gate, x) for x in range(5)])
    for result in (single, many):
        with pytest.raises(mp.TimeoutError):
            result.get(timeout)
        with pytest.raises(mp.TimeoutError):
            result.get(timeout=timeout)
        assert result.wait(timeout) is None
    gate.open(6)
    assert single.get(60) == 1
    assert many.get(60) == [0, 1, 2, 3, 4]


def test_our_timeout_is_the_builtin_one_too(gate: Gate, pool: Pool) -> None:
    result = pool.apply_async(_through, (gate, 1))
    with pytest.raises(TimeoutError) as caught:
        result.get(0)
    assert isinstance(caught.value, procession.TimeoutError)
    gate.open()
    assert result.get() == 1


def test_a_map_result_is_an_async_result(any_pool: Any) -> None:
    module = procession.pool if isinstance(any_pool, Pool) else multiprocessing.pool
    result = any_pool.map_async(_square, [1, 2])
    assert isinstance(result, module.MapResult)
    assert isinstance(result, module.AsyncResult)
    assert isinstance(any_pool.apply_async(_pid), module.ApplyResult)
    assert result.get() == [1, 4]
    assert issubclass(MapResult, AsyncResult)


def test_results_are_hashable_and_their_own(any_pool: Any) -> None:
    one, other = any_pool.apply_async(_pid), any_pool.apply_async(_pid)
    assert len({one, other, one}) == 2
    assert one != other


def test_results_take_attributes_of_the_programs_own(any_pool: Any) -> None:
    for result in (any_pool.apply_async(_identity, (1,)), any_pool.map_async(_identity, [1])):
        result.label = "first"
        assert result.get() in (1, [1])
        assert result.label == "first"


def test_get_gives_the_same_object_each_time(pool: Pool) -> None:
    for result in (pool.apply_async(_identity, ([1],)), pool.map_async(_identity, [[1]])):
        assert result.get() is result.get()


def test_a_result_is_had_after_the_pool_was_closed_and_joined(any_pool: Any) -> None:
    results = [any_pool.apply_async(_square, (x,)) for x in range(50)]
    many = any_pool.map_async(_square, range(50))
    any_pool.close()
    any_pool.join()
    assert [result.get(0) for result in results] == [x * x for x in range(50)] == many.get(0)


def test_a_result_keeps_its_pool_alive(mp: Any, gate: Gate) -> None:
    pool = mp.Pool(1)
    result = pool.apply_async(_through, (gate, 3))
    kept: Any = result._owner if isinstance(result, AsyncResult) else result._pool
    del pool
    gate.open()
    assert result.get() == 3
    kept.terminate()
    kept.join()


# ---- the pool itself


def test_repr_names_state_and_size(mp: Any) -> None:
    with mp.Pool(2) as pool:
        name = f"{type(pool).__module__}.{type(pool).__qualname__}"
        assert repr(pool) == f"<{name} state=RUN pool_size=2>"
        pool.close()
        assert "state=CLOSE" in repr(pool)
    assert "state=TERMINATE" in repr(pool)
    pool.join()


def test_a_pool_does_not_travel(any_pool: Any) -> None:
    message = "pool objects cannot be passed between processes or pickled"
    with pytest.raises(NotImplementedError, match=message):
        pickle.dumps(any_pool)


def test_the_context_manager_gives_the_pool_and_terminates_it(mp: Any, gate: Gate) -> None:
    pool = mp.Pool(2)
    with pool as entered:
        assert entered is pool
        entered.apply_async(_through, (gate, 1))
    pool.join()
    with pytest.raises(ValueError, match="Pool not running"):
        pool.apply(_pid)
    with pytest.raises(ValueError, match="Pool not running"), pool:
        pass


def test_the_context_manager_lets_exceptions_through(mp: Any) -> None:
    with pytest.raises(KeyError), mp.Pool(1) as pool:
        raise KeyError
    pool.join()


def test_without_a_number_there_are_as_many_workers_as_cpus(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PROCESSION_CPU_COUNT", "3")
    with Pool() as pool:
        assert "pool_size=3" in repr(pool)
    pool.join()


@pytest.mark.parametrize("tasks", [1, 3])
def test_a_worker_is_replaced_after_so_many_tasks(mp: Any, tasks: int) -> None:
    with mp.Pool(1, maxtasksperchild=tasks) as pool:
        pids = [pool.apply(_pid) for _ in range(3 * tasks)]
    pool.join()
    assert len(set(pids)) == 3
    assert pids == [pid for pid in dict.fromkeys(pids) for _ in range(tasks)]


def test_a_chunk_counts_as_one_task(mp: Any) -> None:
    with mp.Pool(1, maxtasksperchild=2) as pool:
        pids = pool.map(_pid, range(40), 5)
    pool.join()
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [10, 10, 10, 10]


def test_replacing_workers_loses_nothing(mp: Any) -> None:
    with mp.Pool(2, maxtasksperchild=1) as pool:
        results = [pool.apply_async(_square, (x,)) for x in range(20)]
        assert pool.map(_square, range(20), 3) == [x * x for x in range(20)]
        assert list(pool.imap(_square, range(20), 4)) == [x * x for x in range(20)]
        assert [result.get() for result in results] == [x * x for x in range(20)]
        pool.close()
        pool.join()


def test_two_pools_do_not_disturb_each_other(mp: Any) -> None:
    with mp.Pool(1) as one, mp.Pool(1) as other:
        pids = one.apply(_pid), other.apply(_pid)
        assert pids[0] != pids[1]
        assert one.map_async(_square, range(30)).get() == other.map(_square, range(30))
    one.join()
    other.join()


def test_a_pool_may_be_made_in_a_thread(mp: Any) -> None:
    made: list[Any] = []
    thread = threading.Thread(target=lambda: made.append(mp.Pool(1)))
    thread.start()
    thread.join()
    with made[0] as pool:
        assert pool.map(_square, range(5)) == [0, 1, 4, 9, 16]
    pool.join()
