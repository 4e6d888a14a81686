"""Large objects: their bytes are copied once, and are the receiver's own."""

from __future__ import annotations

import gc
import os
import pickle
import threading
import weakref
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from procession import _core
from procession._codec.apart import LEAST_NAMED, READ, opened, take_apart
from procession._codec.buffers import (
    Payload,
    TooLarge,
    dumps_answer,
    dumps_apart,
    dumps_items,
    dumps_task,
    loads_apart,
    size_of,
)
from procession._codec.items import loads_items
from procession._codec.objects import dumps, loads
from procession.errors.memory import ArenaFull
from tests.codec.roads import (
    ROADS,
    Road,
    as_kept_result,
    as_result,
    as_shared_argument,
    in_one_block,
)

LARGE = 200_000

OWNERS = {
    "bytes": bytes(range(250)) * 800,
    "bytearray": bytearray(range(250)) * 800,
    "text": "aé€😀" * 40_000,
    "lone surrogate": "\ud800" + "b" * LARGE,
}


def blocks() -> int:
    """How many blocks of the arena somebody has."""
    return _core.arena_statistics()["blocks"]


@pytest.mark.parametrize("what", list(OWNERS))
def test_bytes_and_text_arrive_as_what_they_are(road: Road, what: str, copied: list[int]) -> None:
    value = OWNERS[what]
    arrived = road([value, 1, value, "tail"])
    assert arrived == [value, 1, value, "tail"]
    assert type(arrived[0]) is type(value)
    assert arrived[0] is arrived[2]  # as with any pickle: one object stays one
    size = len(value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value)
    assert [s for s in copied if s >= LARGE][:1] == [size]


def test_an_array_is_copied_once_and_is_the_receivers_own(road: Road, copied: list[int]) -> None:
    array = np.arange(LARGE)
    arrived = road(array)
    assert copied.count(array.nbytes) == 1
    assert np.array_equal(arrived, array)
    assert arrived.flags.writeable
    assert not np.shares_memory(arrived, array)
    arrived[:] = -1
    assert np.array_equal(array, np.arange(LARGE))


def test_two_receivers_of_one_payload_do_not_see_each_other() -> None:
    payload = dumps_task({"x": np.ones(LARGE)}, once=False)
    first, second = pickle.loads(payload), pickle.loads(payload)
    first["x"][:] = 7
    third = pickle.loads(payload)
    assert (second["x"] == 1).all()
    assert (third["x"] == 1).all()
    second["x"][5] = 3
    assert (first["x"] == 7).all()


def test_an_only_receiver_has_the_memory_itself() -> None:
    payload = dumps_task(np.ones(LARGE), once=True)
    assert isinstance(payload, Payload)
    pickle.loads(payload)[5] = 9
    assert pickle.loads(payload)[5] == 9


def test_a_receiver_finds_arrays_where_they_are_aligned(road: Road) -> None:
    arrays = [np.arange(LARGE + n, dtype=np.uint8) for n in (1, 3, 64)]
    # A bytearray begins where malloc() has it begin.
    grain = 16 if road is as_kept_result else 64
    assert [array.ctypes.data % grain for array in road(arrays)] == [0, 0, 0]


def test_what_is_small_is_a_plain_pickle() -> None:
    for value in (5, ((1, 2), {"a": "b"}), np.arange(10), b"x" * 100_000, list(range(50_000))):
        assert dumps_task(value, once=True) == pickle.dumps(value, 5) == dumps_answer(value)


def test_the_memory_is_held_by_the_payload_and_then_by_the_array() -> None:
    before = blocks()
    payload: Any = dumps_task(np.ones(LARGE), once=True)
    assert blocks() == before + 1
    assert payload.size == size_of(payload) == LARGE * 8 + len(payload)
    array = pickle.loads(payload)
    del payload
    part = array[10:20].reshape(2, 5)
    del array
    gc.collect()
    assert blocks() == before + 1
    assert (part == 1).all()
    del part
    assert blocks() == before


def test_a_name_without_a_pin_is_refused_when_nobody_holds_the_memory() -> None:
    content = bytes(dumps_task(np.ones(LARGE), once=True))
    with pytest.raises((RuntimeError, ValueError, LookupError)):
        pickle.loads(content)


def test_a_name_with_a_pin_arrives_when_nobody_else_holds_the_memory() -> None:
    before = blocks()
    content = bytes(dumps_apart(np.ones(LARGE), once=True, pinned=True))
    assert blocks() == before + 1
    assert (pickle.loads(content) == 1).all()
    assert blocks() == before


def test_a_result_is_a_body_and_its_buffers() -> None:
    array = np.arange(LARGE)
    answer: Any = dumps_answer({"a": array, "b": b"x" * LARGE, "c": "small"})
    body, parts = answer
    assert len(body) < 500
    assert [len(part) for part in parts] == [array.nbytes, LARGE]
    assert size_of((body, parts)) == len(body) + array.nbytes + LARGE
    memory = in_one_block(body, parts)
    assert size_of(memory) == memory.size
    arrived = loads_apart(memory)
    assert np.array_equal(arrived["a"], array)
    assert (arrived["b"], arrived["c"]) == (b"x" * LARGE, "small")
    view = memoryview(memory)
    begin = _core.address_of(view)
    assert begin < arrived["a"].ctypes.data < begin + memory.size  # no copy


def test_a_payload_that_is_cut_short_is_told() -> None:
    with pytest.raises(ValueError, match="ends before"):
        loads_apart(bytearray(b"\xff\0\0\0\0\0\0\0abc"))


# ---- frozen memory


def frozen(content: bytes) -> tuple[_core.Memory, np.ndarray[Any, Any]]:
    memory = _core.Memory.holding([content])
    memory.freeze()
    return memory, np.frombuffer(memoryview(memory), np.uint8)


def test_what_lies_in_frozen_memory_is_named_and_not_copied(road: Road, copied: list[int]) -> None:
    _, array = frozen(bytes(range(256)) * 1024)
    copied.clear()
    for value in (array, array[LEAST_NAMED:-3], array[100 : 100 + LEAST_NAMED]):
        arrived = road([value])[0]
        assert arrived.ctypes.data == value.ctypes.data
        assert not arrived.flags.writeable
        assert len(arrived) == len(value)
    assert sum(copied) == 0
    small = road(array[: LEAST_NAMED - 1])
    assert np.array_equal(small, array[: LEAST_NAMED - 1])


def test_named_and_copied_ones_go_side_by_side(road: Road) -> None:
    _, first = frozen(b"1" * LARGE)
    _, second = frozen(b"2" * LARGE)
    fresh = np.full(LARGE, 3)
    values: list[Any] = [first, fresh, second, first[5000:], b"4" * LARGE]
    arrived = road(values)
    assert all(np.array_equal(a, b) for a, b in zip(arrived[:4], values[:4], strict=True))
    assert arrived[4] == values[4]
    assert [a.flags.writeable for a in arrived[:4]] == [False, True, False, False]


def test_a_named_result_keeps_its_memory_on_its_way() -> None:
    before = blocks()
    memory, array = frozen(b"x" * LARGE)
    body = dumps_answer(array)
    assert isinstance(body, bytes)
    content = bytes(body)
    del memory, array, body
    assert blocks() == before + 1
    arrived = pickle.loads(content)
    assert (arrived == ord("x")).all()
    del arrived
    assert blocks() == before


def test_a_share_of_an_object_is_rebuilt_here_on_frozen_memory() -> None:
    value: dict[str, Any] = {"a": np.arange(3000), "b": [np.ones(10), np.full((60, 70), 2.0)]}
    taken = take_apart(value, least=LEAST_NAMED)
    memory = _core.Memory.holding(taken.fresh())
    memory.freeze()
    taken.settle(memory, READ)
    shared = opened(taken.layout(pinned=False), taken.inner)
    assert not shared["a"].flags.writeable
    assert shared["b"][0].flags.writeable  # 80 bytes went with the pickle
    assert dumps_task(shared, once=True).__class__ is Payload
    assert np.array_equal(as_result(shared)["b"][1], value["b"][1])


# ---- no room


def test_no_room_is_an_error_and_leaves_nothing() -> None:
    budget, before = _core.memory_budget(), blocks()
    array = np.ones(1 << 20)
    _core.memory_budget(4 << 20)
    try:
        with pytest.raises(ArenaFull) as full:
            dumps_task(array, once=True)
        with pytest.raises(ArenaFull):
            dumps_apart(array, once=True, pinned=True)
    finally:
        _core.memory_budget(budget)
    assert full.value.budget == 4 << 20
    del full
    assert blocks() == before
    assert np.array_equal(as_shared_argument(array), array)


class Named:
    """Travels by a name with a pin, as a lock does."""

    def __init__(self) -> None:
        self.memory = _core.Memory.holding([bytes(LARGE)])

    def __reduce__(self) -> tuple[Any, ...]:
        return tuple, (self.memory._travel(),)


def test_what_finds_no_room_pins_nothing() -> None:
    budget, before = _core.memory_budget(), blocks()
    named = Named()
    _core.memory_budget(4 << 20)
    try:
        for _ in range(3):
            with pytest.raises(ArenaFull):
                dumps_task([named, np.ones(1 << 20)], once=True)
            with pytest.raises(TooLarge):
                dumps_task([named, np.ones(1 << 17)], once=True, most=1000)
    finally:
        _core.memory_budget(budget)
    assert blocks() == before + 1
    del named
    assert blocks() == before


# ---- by value, reducers, errors


def test_what_has_no_name_takes_its_large_parts_apart(road: Road) -> None:
    array = np.arange(LARGE)

    class Local:
        def __init__(self) -> None:
            self.array = array
            self.blob = b"y" * LARGE

    arrived = road({"object": Local(), "function": lambda n: array[n]})
    assert np.array_equal(arrived["object"].array, array)
    assert arrived["object"].blob == b"y" * LARGE
    assert arrived["function"](77) == 77
    assert len(dumps_task(Local(), once=True)) < 5000


def test_the_error_of_plain_pickle_is_the_one_that_is_raised() -> None:
    for value in (threading.Lock(), [np.ones(LARGE), threading.Lock()]):
        for dump in (dumps_answer, lambda v: dumps_task(v, once=True)):
            with pytest.raises(TypeError, match="lock"):
                dump(value)


def test_an_error_leaves_no_circle() -> None:
    array = np.ones(LARGE)
    gone = weakref.ref(array)
    gc.disable()
    try:
        with pytest.raises(TypeError, match="lock"):
            dumps_task([array, threading.Lock()], once=True)
        del array
        assert gone() is None
    finally:
        gc.enable()


def test_an_error_in_a_circle_with_a_memoryview_crashes_nothing() -> None:
    def fail(value: Any) -> None:
        keeper: dict[str, Any] = {}
        try:
            take_apart(value)
        except TypeError as error:
            keeper["error"], keeper["keeper"] = error, keeper

    for _ in range(20):
        fail([memoryview(bytearray(LARGE)), threading.Lock()])
    gc.collect()


def test_a_buffer_that_is_not_in_one_piece_is_refused_as_by_pickle(road: Road) -> None:
    class Strided:
        def __reduce__(self) -> tuple[Any, ...]:
            return bytes, (pickle.PickleBuffer(memoryview(bytes(2 * LARGE))[::2]),)

    with pytest.raises(pickle.PicklingError, match="contiguous"):
        road(Strided())


def test_the_items_of_a_chunk_go_apart_too() -> None:
    items = [(np.full(LARGE, i), i) for i in range(3)]
    payload = dumps_items(items)
    assert isinstance(payload, Payload)
    assert len(payload) < 1000
    arrived = loads_items(payload)
    assert all((array == i).all() for array, i in arrived)
    assert loads_items(dumps_items([1, 2, 3])) == [1, 2, 3]


def test_many_large_frames_of_small_objects_stay_one_pickle() -> None:
    value = [[str(i), i, {"k": b"%d" % i}] for i in range(60_000)]
    assert loads(dumps_task(value, once=True)) == value
    mixed: list[Any] = [value, b"z" * LARGE, value[:10], np.arange(LARGE), value]
    arrived = loads(dumps_task(mixed, once=True))
    assert arrived[:3] == mixed[:3]
    assert np.array_equal(arrived[3], mixed[3])
    assert arrived[4] is arrived[0]


# ---- anything nested


_SMALL = st.one_of(st.none(), st.integers(), st.text(max_size=5), st.binary(max_size=9))
# Heads of large objects where they mean nothing, before and behind those that do.
_HEADS = st.sampled_from([b"B\0\0\1\0", b"\x8e" + (1 << 16).to_bytes(8, "little"), b"\x95" * 12])
_SIZES = st.sampled_from([1, 5, 4096, 65_535, 65_536, 65_537, 131_071, 131_072, 200_000])
_LEAVES = st.one_of(
    _SMALL,
    st.builds(lambda head, size: (head * (size // len(head) + 1))[:size], _HEADS, _SIZES),
    st.builds(lambda head, size: bytearray(head) * (size // len(head) + 1), _HEADS, _SIZES),
    st.builds(lambda text, size: text * size, st.sampled_from(["a", "é", "😀"]), _SIZES),
    st.builds(lambda size: np.arange(size, dtype=np.int16), _SIZES),
    st.builds(lambda size: np.arange(size).astype("M8[s]"), _SIZES),
    st.builds(lambda size: np.arange(2 * size)[::2], _SIZES),
)
_NESTED = st.recursive(
    _LEAVES,
    lambda parts: st.one_of(
        st.lists(parts, max_size=4),
        st.tuples(parts, parts),
        st.dictionaries(st.text(max_size=3), parts, max_size=3),
    ),
    max_leaves=8,
)


def same(one: Any, other: Any) -> bool:
    """Whether two nested objects are of the same types and values."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    return bool(one == other)


@given(_NESTED, st.sampled_from(list(ROADS)))
def test_nested_containers_arrive_as_they_were(value: Any, road: str) -> None:
    assert same(ROADS[road](value), value)


@given(_NESTED)
def test_a_pickle_in_one_piece_holds_the_same(value: Any) -> None:
    assert same(loads(dumps(value)), value)


def test_another_process_gets_the_same() -> None:
    values = [np.arange(LARGE), b"x" * LARGE, np.arange(2 * LARGE)[::2]]
    payload = dumps_task(values, once=False)
    reader, writer = os.pipe()
    child = _core.fork()
    if child == 0:
        good = False
        try:
            arrived = pickle.loads(payload)
            good = same(arrived, values)
            arrived[0][:] = 0
        finally:
            os.write(writer, b"good" if good else b"bad")
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as told:
        assert told.read() == b"good"
    os.waitpid(child, 0)
    assert same(pickle.loads(payload), values)
