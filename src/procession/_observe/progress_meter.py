"""What was counted becomes a rate, and the time that is left. Pure: the time is told."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

WINDOW = 10.0
"""Seconds that the rate looks back: older work says little about what is left."""


class Counts(NamedTuple):
    """How far a call has come, in items.

    Attributes:
        done: those that have their outcome, whether it is a value or an error.
        failed: those of them whose outcome is an error.
        retried: how often an item was run again.
        running: those that workers are at.
        total: how many there will be, where that has become known since the call began.
    """

    done: int
    failed: int = 0
    retried: int = 0
    running: int = 0
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a function that is given as ``progress`` gets.

    Attributes:
        done: items that have their outcome, whether it is a value or an error.
        total: how many there will be; None: not known.
        failed: items whose outcome is an error.
        retried: how often an item was run again.
        running: items that workers are at.
        rate: items a second, of late; at the end, of the whole call.
        eta: seconds until all will be done at that rate; None: nobody knows.
        elapsed: seconds since the call began.
    """

    done: int
    total: int | None
    failed: int
    retried: int
    running: int
    rate: float
    eta: float | None
    elapsed: float


class Meter:
    """Remembers what it read in the last seconds.

    Args:
        total: items in the whole call; None: not known.
        now: seconds, on the clock of all the other times.
    """

    def __init__(self, total: int | None, now: float) -> None:
        self._total = total
        self._began = now
        self._seen: deque[tuple[float, int]] = deque([(now, 0)])

    def read(self, counts: Counts, now: float) -> Snapshot:
        """How it stands now."""
        seen = self._seen
        while len(seen) > 1 and seen[1][0] <= now - WINDOW:
            seen.popleft()  # what stays is the last one before the window, or the first of all
        since, before = seen[0]
        seen.append((now, counts.done))
        return self._snapshot(counts, now, _rate(counts.done - before, now - since))

    def read_last(self, counts: Counts, now: float) -> Snapshot:
        """How it stood at the end: the rate is that of the whole call."""
        return self._snapshot(counts, now, _rate(counts.done, now - self._began))

    def _snapshot(self, counts: Counts, now: float, rate: float) -> Snapshot:
        total = self._total if counts.total is None else counts.total
        eta = None
        if total is not None:
            left = max(0, total - counts.done)
            eta = left / rate if rate > 0 else (None if left else 0.0)
        return Snapshot(
            counts.done,
            total,
            counts.failed,
            counts.retried,
            counts.running,
            rate,
            eta,
            now - self._began,
        )


def _rate(done: int, seconds: float) -> float:
    return done / seconds if seconds > 0 else 0.0
