"""How large the next piece of a call shall be. Pure arithmetic: no clock, no threads.

Guided self-scheduling (Polychronopoulos and Kuck, 1987) with a measured unit: the first
pieces hold one item each; then a piece is what takes about the wanted time at the measured
pace, but never more than a fair share of what is left, so that the workers end together. Nor is it
more than a share of the bytes that may be on their way, at the measured size of an item.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

MAP_NS = 4_000_000
"""Nanoseconds that a piece of a map shall take: nobody sees its results before the end."""

STREAM_NS = 500_000
"""The same for results that are consumed as they come."""

BYTES = 64 << 20
"""Bytes of arguments that are on their way for one call, about: the memory that they travel in is
used again and again, while it is warm."""

LEAST_BYTES = 1 << 20
"""So many may be in a piece in any case."""

LARGEST_GROWTH = 16
PIECES_A_WORKER = 2  # on their way: one that runs, one that waits beside it
SHARES = 2  # a piece is at most 1/SHARES of a worker's fair share of the rest
LARGEST = 1 << 20


def bytes_a_piece(workers: int) -> int:
    """How many bytes a piece of several items may have."""
    return max(LEAST_BYTES, BYTES // (workers * PIECES_A_WORKER))


class Pace:
    """What an engine's journeys cost decides how much travels together.

    Attributes:
        map_ns, stream_ns: nanoseconds of a worker's time that a piece shall take.
        journey_ns: the same for what is not worth a piece of its own; 0 if everything is.
        reach: how many times as many tiny items of an imap may be ahead as on workers nearby.
        times_records: whether time limits are those of whole records: then each item that has one
            travels by itself.
    """

    map_ns = MAP_NS
    stream_ns = STREAM_NS
    journey_ns = 0
    reach = 1
    times_records = False

    def pace_of(self, function: Callable[..., Any]) -> float:
        """Nanoseconds that an item took in the last map call with that function; 0 if it is not
        known. Nearby it is measured anew at once."""
        return 0.0

    def note_pace(self, function: Callable[..., Any], nanoseconds: float) -> None:
        """A map call has measured it."""


class ChunkSizer:
    """Sizes for the pieces of one call.

    Args:
        fixed: the caller's chunk size; None to adapt.
        target: nanoseconds that an adapted piece shall take.
        journey: nanoseconds that are not worth a piece: the first ones grow to it at once, and
            the last ones do not shrink below it.
        known: nanoseconds of an item in an earlier call; 0 if there was none. It is believed as far
            as equal shares of all go, until the first piece was measured.
    """

    __slots__ = (
        "_fixed",
        "_journey",
        "_known",
        "_share",
        "_size",
        "_target",
        "_told",
        "bytes_an_item",
        "ns_an_item",
    )

    def __init__(
        self, fixed: int | None, target: int, journey: int = 0, known: float = 0.0
    ) -> None:
        self._fixed = fixed
        self._target = target
        self._journey = journey
        self._size = max(1, min(int(target / known), LARGEST)) if known else 1
        self._known = known
        self._share = 0  # items of each worker, if that is all there is
        self._told = 0  # items of the largest piece that was measured
        self.ns_an_item = 0.0
        self.bytes_an_item = 0.0

    def measured(self, items: int, nanoseconds: int) -> None:
        """A piece of ``items`` took ``nanoseconds`` of a worker's time."""
        pace = max(nanoseconds, 1) / items
        # The larger piece tells more; a slow one counts at once, a fast one by and by.
        known = self.ns_an_item
        if self._journey and items >= LARGEST_GROWTH * self._told:
            known = 0.0  # what was known is next to nothing
        self._told = max(self._told, items)
        self.ns_an_item = pace if not known or pace > known else (known + 3 * pace) / 4
        wanted = int(self._target / self.ns_an_item)
        growth = max(max(items, self._size // 2) * LARGEST_GROWTH, self._least())
        self._size = max(1, min(wanted, growth, LARGEST))

    def _least(self) -> int:
        """Items that are worth a journey, as far as that was measured."""
        return int(self._journey / self.ns_an_item) if self.ns_an_item else 0

    def packed(self, items: int, size: int) -> None:
        """``items`` were pickled, and take ``size`` bytes."""
        known, each = self.bytes_an_item, size / items
        self.bytes_an_item = each if each > known else (known + each) / 2

    def can_shrink(self, items: int) -> bool:
        """Whether a piece of so many items could have fewer."""
        return items > 1 and self._fixed is None

    def halve(self, items: int) -> None:
        """So many items were too many for one piece."""
        self._size = items // 2

    def next(self, left: int | None, workers: int, room: int) -> int:
        """How many items the next piece takes: at least 1, at most ``room``.

        ``left`` are left, if that is known, for so many ``workers``.
        """
        if self._fixed is not None:
            return self._fixed if left is None else min(self._fixed, left)
        size = min(self._size, room)
        if left is not None:
            least = self._least()
            if self._known and not self._told:
                least = self._share = self._share or -(-left // workers)
            size = min(size, max(left // (workers * SHARES), min(left, least)))
        if self.bytes_an_item:
            size = min(size, int(bytes_a_piece(workers) / self.bytes_an_item))
        return max(1, size)
