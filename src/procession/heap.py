"""Shared memory without a name: what the values and arrays of ``sharedctypes`` lie in."""

from __future__ import annotations

import mmap

from procession._values.memory import BufferWrapper, check_size

__all__ = ["Arena", "BufferWrapper", "Heap"]


class Arena:
    """Shared bytes, as a view: ``buffer``.

    Args:
        size: how many.

    Raises:
        ValueError: the size is negative.
        OverflowError: no address space is that large.
        MemoryError: there is no room for them now.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._wrapper = BufferWrapper(size)
        self.buffer = self._wrapper.create_memoryview()

    def __reduce__(self) -> tuple[object, ...]:
        return _open, (self._wrapper, self.size)


class Heap:
    """Gives out shared bytes, an ``Arena`` for each request, and keeps them until they are freed.

    Args:
        size: nothing depends on it.
    """

    def __init__(self, size: int = mmap.PAGESIZE) -> None:
        self._blocks: set[tuple[Arena, int, int]] = set()

    def malloc(self, size: int) -> tuple[Arena, int, int]:
        """Zeroed bytes: an arena, and from where to where in its ``buffer``.

        Raises:
            ValueError: the size is negative.
            OverflowError: no address space is that large.
            MemoryError: there is no room for them now.
        """
        check_size(size)
        block = (Arena(size), 0, size)
        self._blocks.add(block)
        return block

    def free(self, block: tuple[Arena, int, int]) -> None:
        """Let go of what malloc() returned; it ends once nobody uses it. Nothing if it has."""
        self._blocks.discard(block)


def _open(wrapper: BufferWrapper, size: int) -> Arena:
    arena = Arena.__new__(Arena)
    arena.size, arena._wrapper = size, wrapper
    arena.buffer = wrapper.create_memoryview()
    return arena
