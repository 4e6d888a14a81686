"""What to take back from workers, so that a long item does not hold back those behind it.

Pure: snapshots in, proposals out. A worker that has been at the same item for ``STUCK`` seconds
gives back all that it has not begun. Where others have nothing to do, and nothing waits in the
ring, one that has several items left gives half of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

STEP = 0.02
"""Seconds between two looks while records of several items are under way."""

STUCK = 0.02


class _Seen(NamedTuple):
    number: int
    begun: int
    since: float


class Balance:
    """Remembers what each seat was at."""

    def __init__(self) -> None:
        self._seen: dict[int, _Seen] = {}

    def look(
        self, now: float, seats: Iterable[tuple[int, ...]], idle: int
    ) -> list[tuple[int, int, int]]:
        """What to take back now.

        Args:
            now: seconds.
            seats: for each that holds a task: the seat, the task's number, how many items were
                begun, their end, and how many are done.
            idle: how many workers have nothing to do, with nothing waiting for them.

        Returns:
            For each: the seat, the task's number, and how many items it may keep.
        """
        proposals = []
        seen = {}
        for seat, number, begun, end, done, *_ in seats:
            before = self._seen.get(seat)
            if before is None or before[:2] != (number, begun):
                before = _Seen(number, begun, now)
            seen[seat] = before
            left = end - begun
            # One that still loads what it got keeps it: each other one had to load it, too.
            if left <= 0 or begun <= done:
                continue
            if now - before.since >= STUCK:
                proposals.append((seat, number, 0))
            elif idle > 0 and left > 1:
                proposals.append((seat, number, left // 2))
                idle -= 1
        self._seen = seen
        return proposals
