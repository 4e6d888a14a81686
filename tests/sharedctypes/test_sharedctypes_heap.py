"""Shared memory without a name."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing.heap
import pickle
import sys
from typing import Any

import pytest

from procession import _core, heap


@pytest.fixture(params=["stdlib", "procession"])
def module(request: pytest.FixtureRequest) -> Any:
    """What the two must have in common is written once."""
    return multiprocessing.heap if request.param == "stdlib" else heap


def fill(wrapper: heap.BufferWrapper) -> None:
    """Write into it."""
    wrapper.create_memoryview()[:3] = b"abc"


def test_views_on_the_same_bytes(module: Any) -> None:
    wrapper = module.BufferWrapper(1000)
    view = wrapper.create_memoryview()
    assert (len(view), view.format, view.readonly) == (1000, "B", False)
    view[10:12] = b"hi"
    assert bytes(wrapper.create_memoryview()[9:13]) == b"\0hi\0"
    ctypes.c_int.from_buffer(view).value = 1
    assert view[0] == 1
    assert len(module.BufferWrapper(0).create_memoryview()) == 0


@pytest.mark.parametrize(
    ("size", "kind", "text"),
    [(-1, ValueError, "Size -1 out of range"), (sys.maxsize, OverflowError, "too large")],
)
def test_sizes_that_are_refused(module: Any, size: int, kind: Any, text: str) -> None:
    with pytest.raises(kind, match=text):
        module.BufferWrapper(size)
    with pytest.raises(kind, match=text):
        module.Heap().malloc(size)


def test_more_than_there_is_is_a_memory_error() -> None:
    with pytest.raises(MemoryError):
        heap.BufferWrapper(1 << 50)


def test_a_heap_gives_and_takes(module: Any) -> None:
    pool = module.Heap()
    arena, start, stop = block = pool.malloc(24)
    memoryview(arena.buffer)[start:stop] = b"x" * 24
    other = pool.malloc(24)
    assert other != block
    pool.free(block)
    pool.free(other)


def test_a_heap_keeps_what_it_gave_until_it_is_freed() -> None:
    gc.collect()
    before = _core.arena_statistics()["blocks"]
    pool = heap.Heap()
    block = pool.malloc(10_000)
    assert _core.arena_statistics()["blocks"] == before + 1
    pool.free(block)
    pool.free(block)
    assert _core.arena_statistics()["blocks"] == before + 1
    del block
    assert _core.arena_statistics()["blocks"] == before


def test_the_bytes_end_with_the_last_view() -> None:
    gc.collect()
    before = _core.arena_statistics()["blocks"]
    view = heap.BufferWrapper(10_000).create_memoryview()
    view[0] = 1
    assert _core.arena_statistics()["blocks"] == before + 1
    del view
    assert _core.arena_statistics()["blocks"] == before


def test_they_travel(ctx: Any) -> None:
    wrapper = heap.BufferWrapper(5000)
    child = ctx.Process(target=fill, args=(wrapper,))
    child.start()
    child.join()
    child.close()
    assert bytes(wrapper.create_memoryview()[:4]) == b"abc\0"
    arena = heap.Arena(100)
    came = pickle.loads(pickle.dumps(arena))
    came.buffer[0] = 5
    assert (came.size, arena.buffer[0]) == (100, 5)
