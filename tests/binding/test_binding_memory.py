"""Memory: its names, frozen memory, and whose bytes a buffer shows."""

from __future__ import annotations

import array
import gc
import io
import pickle
from typing import Any

import pytest

from procession import _core
from procession._core import Memory
from tests.binding.places import blocks

LARGE = 100_000
"""Bytes; more than a body has, so it can be seen in the arena's statistics."""

SIZES = [1, 448, 449, 16_384, LARGE]


def frozen(size: int = LARGE) -> Memory:
    memory = Memory.holding([bytes(range(256)) * (size // 256) + bytes(range(size % 256))])
    memory.freeze()
    return memory


# ---- names


def test_a_name_leads_to_what_it_names() -> None:
    memory = Memory.holding([b"abc"])
    assert _core.arrive(Memory, memory._name()) is memory
    assert _core.arrive(Memory, memory._name()) is memory


def test_a_name_keeps_nothing() -> None:
    before = blocks()
    memory = Memory.holding([bytes(LARGE)])
    name = memory._name()
    pins = _core.pins_made()
    memory._name()
    assert _core.pins_made() == pins
    del memory
    assert blocks() == before
    with pytest.raises(RuntimeError, match="has ended"):
        _core.arrive(Memory, name)


def test_a_name_that_arrives_takes_no_pin_away() -> None:
    before = blocks()
    memory = Memory.holding([bytes(LARGE)])
    pickled = pickle.dumps(memory)
    _core.arrive(Memory, memory._name())
    del memory
    assert blocks() == before + 1
    assert len(memoryview(pickle.loads(pickled))) == LARGE
    assert blocks() == before


def test_what_a_name_told_arrives_behind_another_in_its_place() -> None:
    old = Memory.holding([bytes(LARGE)])
    name = old._name()
    del old
    new = Memory.holding([bytes(LARGE)])  # lies where the old one lay
    with pytest.raises(RuntimeError, match="has ended"):
        _core.arrive(Memory, name)
    del new


# ---- frozen


@pytest.mark.parametrize("size", SIZES)
def test_frozen_memory_is_read_only(size: int) -> None:
    memory = Memory.holding([bytes(size)])
    assert not memory.frozen
    memoryview(memory)[0] = 7
    memory.freeze()
    assert memory.frozen
    view = memoryview(memory)
    assert view.readonly
    assert view[0] == 7
    with pytest.raises(TypeError):
        view[0] = 8
    with pytest.raises(TypeError, match="read-write"):
        io.BytesIO(b"abc").readinto(memory)
    with pytest.raises(TypeError, match="read-write"):
        memory.read_into(0, memory)


def test_views_that_were_made_before_show_what_they_showed() -> None:
    memory = Memory.holding([b"abc"])
    early = memoryview(memory)
    memory.freeze()
    memory.freeze()
    assert early == memoryview(memory)


def test_what_has_no_bytes_can_not_be_frozen() -> None:
    for use in (Memory.freeze, lambda empty: empty.frozen):
        with pytest.raises(ValueError, match="has no bytes"):
            use(Memory())


# ---- at


@pytest.mark.parametrize("size", SIZES)
def test_a_buffer_in_frozen_memory_is_found(size: int) -> None:
    memory = frozen(size)
    view = memoryview(memory)
    assert Memory.at(memory) == (memory, 0)
    assert Memory.at(view) == (memory, 0)
    assert Memory.at(view[size - 1 :]) == (memory, size - 1)
    assert Memory.at(view[size // 3 : size // 2 + 1]) == (memory, size // 3)
    assert Memory.at(pickle.PickleBuffer(view[size // 2 :])) == (memory, size // 2)


def test_items_larger_than_a_byte_are_found_too() -> None:
    memory = frozen()
    view = memoryview(memory).cast("q")
    assert Memory.at(view[10:20]) == (memory, 80)


def test_it_is_found_when_its_handle_is_gone() -> None:
    before = blocks()
    memory = frozen()
    view = memoryview(memory)
    name = memory._name()
    del memory
    found = Memory.at(view[5:])
    assert found is not None
    assert found[0]._name() == name
    assert found[0].size == LARGE
    assert found[1] == 5
    del found, view
    assert blocks() == before


def test_another_handle_is_made_when_the_last_one_known_is_gone() -> None:
    before = blocks()
    memory = frozen()
    again = Memory()
    again._arrive(memory._name())
    assert again is not memory
    view = memoryview(memory)
    del again  # it was the one that is known
    found = Memory.at(view)
    assert found is not None
    assert found[0] is not memory
    assert memoryview(found[0]) == view
    del found, view, memory
    gc.collect()
    assert blocks() == before


def test_what_lies_elsewhere_is_not_found() -> None:
    written = Memory.holding([bytes(LARGE)])
    small = Memory.holding([b"abc"])
    memory = frozen()
    others: list[object] = [
        b"",
        b"abc",
        bytearray(LARGE),
        array.array("d", [1.0]),
        memory.private(0, 100),
        written,
        small,
        memoryview(written)[10:],
        bytes(memory),
    ]
    for other in others:
        assert Memory.at(other) is None  # type: ignore[arg-type]


def test_a_buffer_with_gaps_is_refused() -> None:
    view = memoryview(frozen())
    with pytest.raises(BufferError):
        Memory.at(view[::2])
    with pytest.raises(TypeError):
        Memory.at(7)  # type: ignore[arg-type]


def test_each_of_many_is_found() -> None:
    memories = [frozen(500 + 100 * number) for number in range(100)]
    del memories[::3]
    for memory in memories:
        assert Memory.at(memoryview(memory)[499:]) == (memory, 499)


# ---- holding


def test_parts_are_copied_one_behind_the_other() -> None:
    parts: list[Any] = [b"abc", bytearray(b"defg"), memoryview(array.array("q", [1, 2])), b"", b"h"]
    for results in (False, True):
        memory = Memory.holding(parts, results=results, wait=False)
        view = memoryview(memory)
        assert bytes(view[:3]) == b"abc"
        assert bytes(view[64:68]) == b"defg"
        assert view[128:144].cast("q").tolist() == [1, 2]
        assert bytes(view[192:]) == b"h"
        assert memory.size == 193


def test_large_parts_are_copied_whole() -> None:
    part = bytes(range(256)) * (1 << 12)
    memory = Memory.holding([part, part])
    assert memoryview(memory)[: len(part)] == part
    assert memoryview(memory)[len(part) :] == part


@pytest.mark.parametrize("parts", [[1], [b"abc", None], 7])
def test_what_is_no_buffer_is_refused(parts: object) -> None:
    before = blocks()
    with pytest.raises(TypeError):
        Memory.holding(parts)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Memory.holding([], True)  # type: ignore[call-arg]
    assert blocks() == before
