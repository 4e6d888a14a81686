"""``_core.Memory``: a copy of several buffers in the arena, and what is read from it."""

from __future__ import annotations

import array
import os
from typing import Any

import pytest

from procession import _core
from procession._core import Memory


@pytest.mark.parametrize("sizes", [[], [0], [1], [64, 1], [63, 0, 65], [100, 200, 70000], [0, 5]])
def test_it_holds_a_copy_of_each_part_aligned(sizes: list[int]) -> None:
    parts = [os.urandom(size) for size in sizes]
    memory = Memory.holding(parts)
    end = 0
    with memoryview(memory) as view:
        for part in parts:
            begin = (end + 63) // 64 * 64
            end = begin + len(part)
            assert view[begin:end] == part
            assert memory.read(begin, len(part)) == part
        assert view.nbytes == memory.size == end
    arrived = _core.arrive(Memory, memory._travel())
    assert arrived.size == end
    assert arrived.read(0, end) == memory.read(0, end)


def test_it_is_a_copy_and_can_be_written() -> None:
    source = bytearray(b"abc")
    memory = Memory.holding([source, array.array("i", [1, 2])])
    source.extend(b"more")  # nothing holds it any more
    with memoryview(memory) as view:
        view[:1] = b"A"
        assert memory.read(0, 3) == b"Abc"
        assert view[64:].cast("i").tolist() == [1, 2]


def test_its_block_is_given_back_with_it() -> None:
    before = _core.arena_statistics()["blocks"]
    memory = Memory.holding([bytes(100000)])
    view = memoryview(memory)[5:]
    del memory
    assert _core.arena_statistics()["blocks"] == before + 1
    del view
    assert _core.arena_statistics()["blocks"] == before


@pytest.mark.parametrize(
    ("parts", "error"),
    [
        (5, TypeError),
        ([b"bytes", "text"], TypeError),
        ([bytearray(10), memoryview(bytes(10))[::2]], BufferError),
    ],
)
def test_what_is_no_buffer_is_refused_and_nothing_is_held(parts: Any, error: Any) -> None:
    with pytest.raises(error):
        Memory.holding(parts)
    if isinstance(parts, list) and isinstance(parts[0], bytearray):
        parts[0].append(1)


def test_no_more_is_read_than_there_is() -> None:
    memory = Memory.holding([b"0123456789"])
    target = bytearray(4)
    memory.read_into(3, target)
    assert target == b"3456"
    assert memory.read(10, 0) == b""
    for offset, length in [(0, 11), (11, 0), (5, 6), (1 << 63, 1)]:
        with pytest.raises(ValueError, match="has not so many bytes"):
            memory.read(offset, length)
    with pytest.raises(ValueError, match="has not so many bytes"):
        memory.read(0, -1)
    with pytest.raises(ValueError, match="has not so many bytes"):
        memory.read_into(7, target)
    with pytest.raises(TypeError):
        memory.read_into(0, b"1234")  # type: ignore[arg-type, unused-ignore]
    with pytest.raises(ValueError, match="has not so many bytes"):
        Memory().read(0, 1)


def test_it_is_known_whether_it_has_arrived() -> None:
    memory = Memory.holding([b"abc"])
    name = memory._travel()
    assert Memory.is_on_its_way(*name[:3])
    assert not Memory.is_on_its_way(name[0], name[1] + 1, name[2])
    assert not Memory.is_on_its_way(name[0], name[1], (1 << 32) - 1)
    _core.arrive(Memory, name)
    assert not Memory.is_on_its_way(*name[:3])


def test_a_family_has_a_number() -> None:
    assert Memory.family() == Memory.family() == Memory(1)._travel()[3]
