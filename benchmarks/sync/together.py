"""What two partners do with each other. Both are timed, from the first begin to the last end.

Each partner adds one to the same number, without any other protection than what is measured: if the
partners are ever let in at once or in a wrong order, the sum shows it.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat
from typing import Any

from benchmarks.crew import Crew, Part
from benchmarks.sync.kit import KitRival


@dataclass(frozen=True)
class Arrangement:
    """The partners' parts, and the number that they add to."""

    parts: tuple[Part, Part]
    number: memoryview


@dataclass(frozen=True)
class Meeting:
    """Work of two partners.

    Attributes:
        arrange: makes what they need from the rival's kit.
        shared: whether they share the items, or each of them has a part in every one.
    """

    arrange: Callable[[Any], Arrangement]
    shared: bool = False

    def run(self, rival: KitRival, n: int) -> float:
        """Seconds for one item.

        Raises:
            ValueError: they were not let in one at a time, each in its turn.
        """
        if rival.meeting is None:
            arrangement = self.arrange(rival.kit)
            crew = Crew(rival.start, arrangement.parts, forks=rival.forks)
            rival.meeting = crew, arrangement.number
        crew, number = rival.meeting
        share = max(1, n // 2) if self.shared else n
        before = number[0]
        done = crew.run(share)
        added = number[0] - before
        if added != 2 * share:
            raise ValueError(f"{2 * share} were added, {added} arrived: not one at a time")
        return done.seconds / (2 * share if self.shared else share)


def _shared_number() -> memoryview:
    return memoryview(mmap.mmap(-1, 8)).cast("q")


def contended_lock(kit: Any) -> Arrangement:
    """Two want the same lock, again and again."""
    number = _shared_number()
    lock = kit.Lock()
    acquire, release = lock.acquire, lock.release

    def part(n: int) -> int:
        for _ in repeat(None, n):
            acquire()
            number[0] += 1
            release()
        return n

    return Arrangement((part, part), number)


def event_ping_pong(kit: Any) -> Arrangement:
    """There with one event, back with another."""
    number = _shared_number()
    ping, pong = kit.Event(), kit.Event()

    def first(n: int) -> int:
        for _ in repeat(None, n):
            number[0] += 1
            ping.set()
            pong.wait()
            pong.clear()
        return n

    def second(n: int) -> int:
        for _ in repeat(None, n):
            ping.wait()
            ping.clear()
            number[0] += 1
            pong.set()
        return n

    return Arrangement((first, second), number)


def condition_ping_pong(kit: Any) -> Arrangement:
    """There and back with one condition: whose turn it is, the number tells."""
    number = _shared_number()
    condition = kit.Condition()

    def taking(turn: int) -> Part:
        def part(n: int) -> int:
            for _ in repeat(None, n):
                with condition:
                    while number[0] % 2 != turn:
                        condition.wait()
                    number[0] += 1
                    condition.notify()
            return n

        return part

    return Arrangement((taking(0), taking(1)), number)


def semaphore_ping_pong(kit: Any) -> Arrangement:
    """There with one semaphore, back with another."""
    number = _shared_number()
    ping, pong = kit.Semaphore(0), kit.Semaphore(0)

    def first(n: int) -> int:
        for _ in repeat(None, n):
            number[0] += 1
            ping.release()
            pong.acquire()
        return n

    def second(n: int) -> int:
        for _ in repeat(None, n):
            ping.acquire()
            number[0] += 1
            pong.release()
        return n

    return Arrangement((first, second), number)


def barrier(kit: Any) -> Arrangement:
    """Two meet at a barrier; who is called the first of the two adds for both."""
    number = _shared_number()
    gate = kit.Barrier(2)

    def part(n: int) -> int:
        for _ in repeat(None, n):
            if gate.wait() == 0:
                number[0] += 2
        return n

    return Arrangement((part, part), number)
