"""Private views: what one process writes there nobody else sees."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from procession import _core
from procession._core import Memory, PrivateView
from tests.binding.places import blocks, in_child, private_bytes

PAGE = os.sysconf("SC_PAGE_SIZE")
SIZE = 10 * PAGE


def pattern(size: int = SIZE) -> bytes:
    return bytes(number % 251 for number in range(size))


RANGES = [
    (0, SIZE),
    (0, 1),
    (1, PAGE),
    (PAGE, PAGE),
    (PAGE - 1, 2),
    (3 * PAGE + 17, 4 * PAGE + 5),
    (SIZE - 1, 1),
]


@pytest.mark.parametrize(("offset", "length"), RANGES)
def test_it_shows_the_memorys_bytes(offset: int, length: int) -> None:
    memory = Memory.holding([pattern()])
    view = memory.private(offset, length)
    assert isinstance(view, PrivateView)
    assert len(view) == length
    assert memoryview(view) == pattern()[offset : offset + length]
    assert not memoryview(view).readonly


@pytest.mark.parametrize("size", [10, 448, SIZE])
@pytest.mark.parametrize("freeze", [False, True])
def test_nobody_else_sees_what_is_written(size: int, freeze: bool) -> None:
    memory = Memory.holding([pattern(size)])
    if freeze:
        memory.freeze()
    one, other = (memoryview(memory.private(0, size)) for _ in range(2))
    one[:] = b"\xff" * size
    assert bytes(memoryview(memory)) == pattern(size)
    assert other == pattern(size)
    other[0] = 77
    assert bytes(one) == b"\xff" * size
    assert memoryview(memory.private(0, size)) == pattern(size)


def test_nothing_else_lies_in_its_bytes() -> None:
    memory = Memory.holding([pattern()])
    view = memoryview(memory.private(PAGE + 5, 10))
    view[:] = bytes(10)
    assert memoryview(memory.private(PAGE, 30)) == pattern()[PAGE : PAGE + 30]


def test_an_empty_one() -> None:
    memory = Memory.holding([pattern()])
    for offset in (0, 5, SIZE):
        assert bytes(memory.private(offset, 0)) == b""
    assert private_bytes() == 0


def test_what_reaches_beyond_the_end_is_refused() -> None:
    memory = Memory.holding([pattern()])
    for offset, length in [(0, SIZE + 1), (SIZE, 1), (SIZE + 1, 0), (1 << 63, 1), (0, -1)]:
        with pytest.raises(ValueError, match="has not so many bytes"):
            memory.private(offset, length)
    with pytest.raises(ValueError, match="has not so many bytes"):
        Memory().private(0, 1)


def test_it_is_made_by_memory_only() -> None:
    with pytest.raises(TypeError):
        PrivateView()


def test_it_keeps_the_memory_and_is_unmapped_at_its_end() -> None:
    before = blocks()
    memory = Memory.holding([pattern()])
    view = memory.private(0, SIZE)
    buffer = memoryview(view)
    assert private_bytes() == SIZE
    del memory
    assert blocks() == before + 1
    del view
    assert private_bytes() == SIZE
    assert buffer == pattern()
    buffer.release()
    assert private_bytes() == 0
    assert blocks() == before


def test_a_forked_child_has_its_own() -> None:
    memory = Memory.holding([pattern()])
    view = memoryview(memory.private(0, SIZE))
    view[0] = 100

    def write() -> None:
        assert view[0] == 100
        view[0] = 101
        view[PAGE] = 102
        assert bytes(memoryview(memory)) == pattern()

    in_child(write)
    assert view[0] == 100
    assert view[PAGE] == pattern()[PAGE]
    assert bytes(memoryview(memory)) == pattern()


def test_a_child_whose_parent_dropped_it_reads_it_still() -> None:
    memory = Memory.holding([pattern()])
    view = memoryview(memory.private(0, SIZE))
    go, going = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.read(go, 1)
        os._exit(view != pattern())
    del memory, view
    others = [Memory.holding([bytes(SIZE)]) for _ in range(3)]  # would lie where it lay
    os.write(going, b"x")
    assert os.waitpid(pid, 0)[1] == 0
    os.close(go)
    os.close(going)
    del others
    _core.sweep()
    Memory(1000)  # what was kept for the child is given up at the next occasion


def test_without_room_for_a_mapping_it_is_refused() -> None:
    size = 64 << 20
    memory = Memory(size)
    before = blocks()

    def ask_for_too_much() -> None:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * PAGE
        resource.setrlimit(resource.RLIMIT_AS, (used + size // 2, resource.RLIM_INFINITY))
        for _ in range(3):
            with pytest.raises(MemoryError, match="no private view of 67108864 bytes") as failed:
                memory.private(0, size)
            assert "free memory" in str(failed.value)
        assert len(memoryview(memory)) == size
        assert private_bytes() == 0
        small = memory.private(size - 10, 10)
        assert bytes(small) == bytes(10)

    in_child(ask_for_too_much)
    assert blocks() == before


def test_without_the_arenas_descriptor_it_is_a_copy() -> None:
    memory = Memory.holding([pattern()])

    def look() -> None:
        descriptor = _core.arena_descriptor()
        os.close(descriptor)
        os.dup2(os.open(os.devnull, os.O_RDONLY), descriptor)  # it is another file's now
        view = memoryview(memory.private(PAGE + 3, SIZE - PAGE - 3))
        assert private_bytes() == 0
        assert view == pattern()[PAGE + 3 :]
        view[0] = 0
        assert bytes(memoryview(memory)) == pattern()

    in_child(look)
