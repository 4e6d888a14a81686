"""Which running tasks are late. Pure arithmetic: a snapshot of the claims in, what is due out.

A task (an item of a map is one, too) has ``timeout`` seconds from the moment a worker begins it.
With a ``grace`` it is asked to stop first, and killed when that is over; without, killed at once.
All times here are in nanoseconds of the channel's clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Final, NamedTuple, Protocol

SECOND: Final = 1_000_000_000


class Row(NamedTuple):
    """What the core says of a worker's claim; see ``Channel.seats``.

    Items are counted from 0 within the record. `begun` is the item after the one that was begun
    last, `done` the one after the last that has its outcome; they differ while an item runs. A
    single call has no items to begin. `item_since` is `since` until the first item is begun.
    """

    seat: int
    number: int
    begun: int
    end: int
    done: int
    since: int
    item_since: int

    @property
    def is_running(self) -> bool:
        """Whether code of the user's runs: a call, an item, or what unpickles the items."""
        return self.begun > self.done or self.item_since == self.since

    @property
    def item(self) -> int | None:
        """The item that runs; None for a single call, and before the first item."""
        return self.begun - 1 if self.begun > self.done else None


class Limits(Protocol):
    """What a task's options say about its time; see ``Options``."""

    @property
    def timeout(self) -> float | None:
        """Seconds that it may take."""

    @property
    def grace(self) -> float | None:
        """Seconds between the request to stop and the kill; None: no request."""


class Means(Enum):
    """What is to be done about a late task."""

    STOP = "ask it to stop"
    KILL = "kill its worker"


class Late(NamedTuple):
    """A task whose time is up; at this item, if it has any."""

    seat: int
    number: int
    item: int | None
    means: Means


Asked = frozenset[tuple[int, int, int | None]]
"""Tasks that were asked to stop: seat, number, item."""


class Outlook(NamedTuple):
    """What is due now, and when to look again at the latest.

    Attributes:
        asked: the tasks that were asked to stop, now or before, and still run.
        next: None if nothing that runs has a limit.
    """

    due: list[Late]
    asked: Asked
    next: int | None


def look(
    rows: Iterable[Row],
    limits_of: Callable[[int], Limits | None],
    now: int,
    asked: Asked = frozenset(),
) -> Outlook:
    """What is due.

    Args:
        rows: the claims as they stand.
        limits_of: the limits of a task by its number; None if it has an answer by now.
        now: the present time.
        asked: what the outlook before this one said.
    """
    due: list[Late] = []
    still_asked: set[tuple[int, int, int | None]] = set()
    following: list[int] = []
    for row in rows:
        limits = limits_of(row.number) if row.is_running else None
        if limits is None or limits.timeout is None:
            continue
        task = (row.seat, row.number, row.item)
        late_at = row.item_since + nanoseconds(limits.timeout)
        kill_at = late_at if limits.grace is None else late_at + nanoseconds(limits.grace)
        was_asked = task in asked
        if now >= kill_at:
            due.append(Late(*task, Means.KILL))
        elif now < late_at:
            following.append(late_at)
        else:
            if not was_asked:
                due.append(Late(*task, Means.STOP))
            still_asked.add(task)
            following.append(kill_at)
    return Outlook(due, frozenset(still_asked), min(following, default=None))


def nanoseconds(seconds: float) -> int:
    """Whole nanoseconds, rounded up: a limit is never shorter than was said."""
    return math.ceil(min(seconds, _LONGEST) * SECOND)


_LONGEST: Final = 10**9
"""Seconds; about thirty years, whatever is asked for: also an infinite number."""


def first_possible(timeouts: Iterable[float], now: int) -> int | None:
    """When a task that is begun from now on can be late at the earliest."""
    return min((now + nanoseconds(timeout) for timeout in timeouts), default=None)
