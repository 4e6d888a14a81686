"""Closures with something large in them: published once, compared at each call, kept by bytes."""

from __future__ import annotations

import gc
import pickle
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest

from procession import _core
from procession._codec import functions, repeats
from procession._codec.functions import FunctionCache, FunctionMissing, FunctionTable
from procession._core import Channel
from tests.codec.test_codec_functions import Blocks

COUNT = 1 << 18  # numbers: 2 MiB


@pytest.fixture
def blocks() -> Blocks:
    return Blocks()


@pytest.fixture
def table(blocks: Blocks) -> FunctionTable:
    return FunctionTable(cast(Channel, blocks))


@pytest.fixture
def cache(blocks: Blocks) -> FunctionCache:
    return FunctionCache(cast(Channel, blocks))


def closure(array: Any) -> Callable[[int], Any]:
    return lambda place: array[place]


def kept_closure(array: Any) -> Callable[[int], Any]:
    """One that workers keep: it has the array in a global variable."""
    scope: dict[str, Any] = {"array": array}
    exec("function = lambda place: array[place]", scope)
    return cast(Callable[[int], Any], scope["function"])


def load(cache: FunctionCache, sent: functions.Sent | None) -> Callable[[int], Any]:
    assert sent is not None
    return cache.load(*sent)


def test_a_large_array_in_a_closure_is_copied_once(
    table: FunctionTable, cache: FunctionCache, blocks: Blocks, copied: list[int]
) -> None:
    array = np.arange(COUNT)
    function = closure(array)
    sent = table.publish(function, 0)
    for _ in range(64):
        assert table.find(function) == sent
    assert sum(size >= 8 * COUNT for size in copied) == 1
    assert sent is not None
    assert len(blocks.held[sent.code]) < 5000
    assert load(cache, sent)(77) == 77


def test_a_small_one_among_others_goes_with_the_large_ones(
    table: FunctionTable, cache: FunctionCache, copied: list[int]
) -> None:
    large, middle, text = np.arange(COUNT), np.arange(20_000), "x" * 200_000
    function = lambda: (large[5], middle[5], len(text))  # noqa: E731
    sent = table.publish(function, 0)
    assert table.find(function) == sent
    assert cast(Any, load(cache, sent))() == (5, 5, 200_000)
    assert copied == [8 * COUNT, 160_000, 200_000]


@pytest.mark.parametrize("place", [0, COUNT // 2, COUNT - 1])
def test_a_change_in_what_was_captured_is_seen(
    table: FunctionTable, cache: FunctionCache, place: int
) -> None:
    array = np.zeros(COUNT)
    function = closure(array)
    first = table.publish(function, 0)
    array[place] = 5
    assert table.find(function) is None
    second = table.publish(function, 1)
    assert table.find(function) == second
    assert load(cache, first)(place) == 0
    assert load(cache, second)(place) == 5
    array[place] = 6
    assert table.find(function) is None
    assert load(cache, table.publish(function, 2))(place) == 6


def test_workers_do_not_see_what_another_writes(table: FunctionTable, blocks: Blocks) -> None:
    array = np.zeros(COUNT)

    def write(value: int) -> Any:
        array[:] = value
        return array

    sent = table.publish(write, 0)
    caches = [FunctionCache(cast(Channel, blocks)) for _ in range(2)]
    one, two = (load(cache, sent)(number) for number, cache in enumerate(caches, 1))
    assert (one == 1).all()
    assert (two == 2).all()
    assert (array == 0).all()
    assert table.find(write) == sent


def test_an_array_that_two_closures_have_is_kept_once(
    table: FunctionTable, copied: list[int]
) -> None:
    array = np.arange(COUNT)
    table.publish(closure(array), 0)
    table.publish(lambda: array[5:], 0)
    assert sum(size >= 8 * COUNT for size in copied) == 1
    assert repeats.kept() == 8 * COUNT


def test_a_closure_over_frozen_memory_copies_and_compares_nothing(
    table: FunctionTable,
    cache: FunctionCache,
    copied: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    memory = _core.Memory.holding([np.arange(COUNT).data])
    memory.freeze()
    copied.clear()
    array = np.frombuffer(memoryview(memory), np.int64)
    function = closure(array)
    sent = table.publish(function, 0)
    monkeypatch.setattr(_core, "same_bytes", None)
    assert table.find(function) == sent
    assert copied == []
    arrived = load(cache, sent)
    assert arrived(9) == 9
    assert not cast(Any, arrived).__closure__[0].cell_contents.flags.writeable


def test_the_memory_goes_when_no_task_can_name_it(
    table: FunctionTable, cache: FunctionCache
) -> None:
    before = _core.arena_statistics()["blocks"]
    array = np.zeros(COUNT)
    function = closure(array)
    table.publish(function, 10)
    array[0] = 1
    table.publish(function, 20)
    assert _core.arena_statistics()["blocks"] == before + 2
    table.free_retired(20)
    repeats.forget()
    assert _core.arena_statistics()["blocks"] == before + 2
    table.free_retired(21)
    assert _core.arena_statistics()["blocks"] == before + 1
    table.free_all()
    assert _core.arena_statistics()["blocks"] == before


def test_a_carried_callable_keeps_its_memory_until_it_is_freed(
    table: FunctionTable, cache: FunctionCache
) -> None:
    from procession._codec.buffers import dumps_task

    before = _core.arena_statistics()["blocks"]
    sent = table.publish_content(dumps_task(np.arange(COUNT).take, once=False))
    gc.collect()
    assert load(cache, sent)(8) == 8
    loaded = load(cache, sent)
    table.free(sent.code)
    assert _core.arena_statistics()["blocks"] == before + 1  # the worker's
    assert not cache.known
    del loaded
    assert _core.arena_statistics()["blocks"] == before


def test_only_so_many_bytes_of_functions_are_kept(
    table: FunctionTable,
    cache: FunctionCache,
    blocks: Blocks,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(functions, "HEAVY", 5 * 8 * COUNT)
    monkeypatch.setattr(functions, "KEPT_HEAVY", 9)
    made = [kept_closure(np.full(COUNT, number)) for number in range(8)]
    sent = [table.publish(function, 0) for function in made]
    loaded = [load(cache, one)(0) for one in sent]
    assert loaded == list(range(8))
    assert [table.find(function) is not None for function in made] == [False] * 3 + [True] * 5
    assert len(cache.known) == 5
    blocks.fetched.clear()
    assert [load(cache, one)(0) for one in sent[3:]] == [3, 4, 5, 6, 7]
    assert blocks.fetched == []
    monkeypatch.setattr(functions, "KEPT_HEAVY", 2)
    assert load(cache, sent[0])(0) == 0  # not retired yet: it is fetched again
    assert len(cache.known) == 2
    one = kept_closure(np.zeros(6 * COUNT))
    large = table.publish(one, 0)
    assert table.find(one) == large
    assert [table.find(function) for function in made] == [None] * 8
    assert load(cache, large)(0) == 0
    assert large is not None
    assert large.number not in cache.known


def test_the_bound_follows_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_core, "memory_budget", lambda: 80 << 20)
    assert functions.heavy_bound() == 10 << 20
    monkeypatch.setattr(_core, "memory_budget", lambda: 80 << 30)
    assert functions.heavy_bound() == 256 << 20


@pytest.mark.parametrize("kind", [closure, kept_closure])
def test_a_heavy_function_is_kept_while_it_lives(
    table: FunctionTable, blocks: Blocks, kind: Callable[[Any], Callable[[int], Any]]
) -> None:
    before = _core.arena_statistics()["blocks"]
    array = np.zeros(COUNT)
    function = kind(array)
    text = b"x" * (1 << 20)
    other = kept_closure(text)
    table.publish(function, 0)
    kept = table.publish(other, 0)
    small = table.publish(lambda: 1, 0)
    assert kept is not None
    assert small is not None
    assert not table.free_gone()
    del function
    gc.collect()
    assert table.has_retired
    assert table.free_gone()
    assert not table.has_retired
    del array
    assert set(blocks.held) == {kept.code, small.code}
    repeats.forget()
    assert _core.arena_statistics()["blocks"] == before + 1
    assert table.find(other) == kept
    table.free_all()
    assert not blocks.held
    assert _core.arena_statistics()["blocks"] == before


def test_another_function_at_the_same_place_is_not_taken_for_it(table: FunctionTable) -> None:
    text = b"x" * (1 << 20)
    first = kept_closure(text)
    sent = table.publish(first, 0)
    assert table.find(first) == sent
    other = kept_closure(text)
    table._entries[id(other)] = table._entries.pop(id(first))
    assert table.find(other) is None
    del first


def test_heavy_functions_go_where_room_is_wanted(table: FunctionTable, blocks: Blocks) -> None:
    made = [kept_closure(np.full(COUNT, number)) for number in range(3)]
    sent = [table.publish(function, 5) for function in made]
    again = table.publish(made[0], 5)  # the first one is retired
    small = table.publish(lambda: 1, 5)
    assert all(sent)
    assert again is not None
    assert small is not None
    assert sent[1] is not None
    assert table.free_heavy({sent[1].code})
    assert set(blocks.held) == {sent[1].code, small.code}
    assert not table.free_heavy({sent[1].code})
    assert [table.find(function) for function in made] == [None, sent[1], None]
    table.free_all()
    assert not blocks.held


def test_small_functions_stay_beside_heavy_ones(
    table: FunctionTable, cache: FunctionCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(functions, "HEAVY", 8 * COUNT)
    small = table.publish(lambda place: place + 1, 0)
    load(cache, small)
    for number in range(3):
        load(cache, table.publish(kept_closure(np.full(COUNT, number)), 0))
    assert small is not None
    assert small.number in cache.known
    assert len(cache.known) == 2


def test_a_block_of_another_is_still_told(
    table: FunctionTable, cache: FunctionCache, blocks: Blocks
) -> None:
    first = table.publish(closure(np.zeros(COUNT)), 0)
    second = table.publish(closure(np.ones(COUNT)), 0)
    assert first is not None
    assert second is not None
    blocks.held[first.code] = blocks.held[second.code]
    with pytest.raises(FunctionMissing):
        cache.load(*first)


def test_what_a_closure_shares_is_as_a_pickle_has_it(
    table: FunctionTable, cache: FunctionCache
) -> None:
    content = bytes(range(256)) * 1000
    holder = {"a": content, "b": content}
    arrived: Any = load(cache, table.publish(lambda: holder, 0))
    assert cast(Any, arrived)() == holder
    assert cast(Any, arrived)()["a"] is cast(Any, arrived)()["b"]
    assert pickle.loads(pickle.dumps(holder)) == holder
