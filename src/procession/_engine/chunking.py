"""How large the next piece of a call shall be. Pure arithmetic: no clock, no threads.

Guided self-scheduling (Polychronopoulos and Kuck, 1987) with a measured unit: the first
pieces hold one item each; then a piece is what takes about the wanted time at the measured
pace, but never more than a fair share of what is left, so that the workers end together.
"""

from __future__ import annotations

MAP_NS = 4_000_000
"""Nanoseconds that a piece of a map shall take: nobody sees its results before the end."""

STREAM_NS = 500_000
"""The same for results that are consumed as they come."""

LARGEST_GROWTH = 16
SHARES = 2  # a piece is at most 1/SHARES of a worker's fair share of the rest
LARGEST = 1 << 20


class ChunkSizer:
    """Sizes for the pieces of one call.

    Args:
        fixed: the caller's chunk size; None to adapt.
        target: nanoseconds that an adapted piece shall take.
    """

    __slots__ = ("_fixed", "_size", "_target", "ns_an_item")

    def __init__(self, fixed: int | None, target: int) -> None:
        self._fixed = fixed
        self._target = target
        self._size = 1
        self.ns_an_item = 0.0

    def measured(self, items: int, nanoseconds: int) -> None:
        """A piece of ``items`` took ``nanoseconds`` of a worker's time."""
        pace = max(nanoseconds, 1) / items
        # The larger piece tells more; a slow one counts at once, a fast one by and by.
        known = self.ns_an_item
        self.ns_an_item = pace if not known or pace > known else (known + 3 * pace) / 4
        wanted = int(self._target / self.ns_an_item)
        self._size = max(1, min(wanted, max(items, self._size // 2) * LARGEST_GROWTH, LARGEST))

    def next(self, left: int | None, workers: int, room: int) -> int:
        """How many items the next piece takes: at least 1, at most ``room``.

        ``left`` are left, if that is known, for so many ``workers``.
        """
        if self._fixed is not None:
            return self._fixed if left is None else min(self._fixed, left)
        size = min(self._size, room)
        if left is not None:
            size = min(size, left // (workers * SHARES))
        return max(1, size)
