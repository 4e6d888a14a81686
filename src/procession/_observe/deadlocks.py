"""Who waits for each other in a circle, across processes and threads.

A thread that waits is *stuck* if everybody who holds what it waits for is stuck, too. So begin with
all that wait, and take out, again and again, whoever has somebody to hope for: a holder that does
not wait, one that died (the core tells those who wait for it), a deadline. What is left is stuck,
and each of them leads to another one; somewhere that closes a circle.

For a lock with one holder that is the well-known circle in the graph of who waits for whom; for a
semaphore, of whose holders any one may give a permit back, it takes all of them to be stuck.

A lock belongs to a thread, and that thread is known. Permits belong to a process: whether
it can give them back depends on threads of which it is not known what they do, unless there are no
more of them than wait. Where it does depend on that, the deadlock is not *certain*.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from procession._observe import standing
from procession._observe.census import Census, Hold, Wait

Who = tuple[int, int]
"""A thread in the family: the token of its process, and its number."""


@dataclass(frozen=True, slots=True)
class Step:
    """Somebody waits for what `hold` says, whose owner is the next one in the circle."""

    wait: Wait
    hold: Hold

    @property
    def identity(self) -> tuple[Who, int, int, int, int]:
        """Equal in two looks only if the same thread has waited all the while between them."""
        return self.wait.who, self.wait.thing, self.wait.since, self.hold.owner, self.hold.thread


@dataclass(frozen=True, slots=True)
class Deadlock:
    """A circle of threads, each of which waits for what the next one holds.

    Attributes:
        steps: once around, beginning with the lowest process id.
        certain: no other thread of these processes can end it.
    """

    steps: tuple[Step, ...]
    certain: bool


def find(census: Census, threads: Mapping[int, int]) -> list[Deadlock]:
    """The deadlocks that this look shows, the certain ones first.

    `threads`: how many threads a process has, by its token, where that is known.
    """
    held = standing.holders(census)
    missing = {
        thing.serial
        for thing in census.things
        if not standing.is_accounted_for(thing, held.get(thing.serial, ()))
    }
    held = {serial: holds for serial, holds in held.items() if serial not in missing}
    found: dict[frozenset[Who], Deadlock] = {}
    for strict in (True, False):
        stuck = _stuck(census.waits, held, threads, strict=strict)
        for steps in _circles(stuck, held):
            members = frozenset(step.wait.who for step in steps)
            found.setdefault(members, Deadlock(steps, strict))
    return [*found.values()]


def lasting(before: Iterable[Deadlock], now: Iterable[Deadlock]) -> list[Deadlock]:
    """Those that stood in an earlier look, too: nobody in them has moved between the two."""
    earlier = {step.identity for deadlock in before for step in deadlock.steps}
    return [
        deadlock for deadlock in now if all(step.identity in earlier for step in deadlock.steps)
    ]


def _stuck(
    waits: Iterable[Wait],
    held: Mapping[int, Sequence[Hold]],
    threads: Mapping[int, int],
    *,
    strict: bool,
) -> dict[Who, Wait]:
    """Who waits for ever; with `strict`, whatever threads do of which nothing is known."""
    left = {
        wait.who: wait
        for wait in sorted(waits, key=lambda wait: (wait.pid, wait.who))
        if wait.alive and not wait.timed and not wait.notified and held.get(wait.thing)
    }
    while True:
        waiting = Counter(owner for owner, _ in left)

        def is_stuck(hold: Hold, waiting: Counter[int] = waiting) -> bool:
            if not hold.alive:
                return False
            if hold.thread:
                return (hold.owner, hold.thread) in left
            needed = threads.get(hold.owner, math.inf) if strict else 1
            return 0 < waiting[hold.owner] >= needed

        free = [who for who, wait in left.items() if not all(map(is_stuck, held[wait.thing]))]
        if not free:
            return left
        for who in free:
            del left[who]


def _circles(
    stuck: Mapping[Who, Wait], held: Mapping[int, Sequence[Hold]]
) -> list[tuple[Step, ...]]:
    """Follow each to the one it waits for, until somebody comes twice."""
    circles: list[tuple[Step, ...]] = []
    seen: set[Who] = set()
    for start in stuck:
        path: dict[Who, Step] = {}
        who = start
        while who not in path and who not in seen:
            wait = stuck[who]
            hold = held[wait.thing][0]
            path[who] = Step(wait, hold)
            who = _next(hold, stuck)
        if who in path:
            steps = [*path.values()][[*path].index(who) :]
            circles.append(_from_the_lowest(steps))
        seen.update(path)
    return circles


def _next(hold: Hold, stuck: Mapping[Who, Wait]) -> Who:
    if hold.thread:
        return hold.owner, hold.thread
    return next(who for who in stuck if who[0] == hold.owner)


def _from_the_lowest(steps: list[Step]) -> tuple[Step, ...]:
    first = min(range(len(steps)), key=lambda index: (steps[index].wait.pid, steps[index].wait.who))
    return (*steps[first:], *steps[:first])
