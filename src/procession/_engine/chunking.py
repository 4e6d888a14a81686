"""How large the next chunk of a map shall be. Pure arithmetic: no clock, no threads.

Guided self-scheduling (Polychronopoulos and Kuck, 1987) with a measured unit: the first
chunks hold one item each; then a chunk is what takes about ``TARGET_NS`` at the measured
pace, but never more than a fair share of what is left, so that the workers end together.
"""

from __future__ import annotations

TARGET_NS = 4_000_000
LARGEST_GROWTH = 16
SHARES = 2  # a chunk is at most 1/SHARES of a worker's fair share of the rest


class ChunkSizer:
    """Sizes for the chunks of one map call.

    Args:
        workers: how many work on it.
        fixed: the caller's chunk size; None to adapt.
    """

    __slots__ = ("_fixed", "_ns_an_item", "_size", "_workers")

    def __init__(self, workers: int, fixed: int | None) -> None:
        self._workers = workers
        self._fixed = fixed
        self._size = 1
        self._ns_an_item = 0.0

    def measured(self, items: int, nanoseconds: int) -> None:
        """A chunk of ``items`` took ``nanoseconds`` of a worker's time."""
        pace = max(nanoseconds, 1) / items
        # The larger chunk tells more; a slow one counts at once, a fast one by and by.
        known = self._ns_an_item
        self._ns_an_item = pace if not known or pace > known else (known + 3 * pace) / 4
        wanted = int(TARGET_NS / self._ns_an_item)
        self._size = max(1, min(wanted, max(items, self._size // 2) * LARGEST_GROWTH))

    def next(self, left: int) -> int:
        """How many of the ``left`` items (at least 1) the next chunk takes."""
        if self._fixed is not None:
            return min(self._fixed, left)
        fair = left // (self._workers * SHARES)
        return max(1, min(self._size, fair))
