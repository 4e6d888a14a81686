"""A process that grows for sure."""

from __future__ import annotations

import mmap

_hoard: list[mmap.mmap] = []


def hoard(size: int) -> None:
    """Take `size` bytes from the system, every page of them used, and keep them.

    Past malloc, which would rather give out again what this process, or the one that it was forked
    from, has freed: then nothing grows.
    """
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    pages[:: mmap.PAGESIZE] = b"x" * len(range(0, size, mmap.PAGESIZE))
    _hoard.append(pages)
