"""Shared bytes that live as long as any process has them."""

from __future__ import annotations

import sys

from procession import _core


class BufferWrapper:
    """Zeroed bytes, shared with every process that this object is sent to.

    They live until the last process has dropped it, and every view of it.

    Args:
        size: how many.

    Raises:
        ValueError: the size is negative.
        OverflowError: no address space is that large.
        MemoryError: there is no room for them now.
    """

    __slots__ = ("_memory", "_size")

    def __init__(self, size: int) -> None:
        check_size(size)
        self._size = size
        self._memory = _core.Memory(size or 1)

    def __reduce__(self) -> tuple[object, ...]:
        return _wrap, (self._memory, self._size)

    def create_memoryview(self) -> memoryview:
        """The bytes, to be read and written in place."""
        return memoryview(self._memory)[: self._size]


def check_size(size: int) -> None:
    """Raises ValueError or OverflowError for what can not be a size in bytes."""
    if size < 0:
        raise ValueError(f"Size {size:n} out of range")
    if size >= sys.maxsize:
        raise OverflowError(f"Size {size:n} too large")


def _wrap(memory: _core.Memory, size: int) -> BufferWrapper:
    wrapper = BufferWrapper.__new__(BufferWrapper)
    wrapper._memory = memory
    wrapper._size = size
    return wrapper
