"""What to use, by what it costs. Pure."""

from __future__ import annotations

from typing import Literal, NamedTuple

Way = Literal["serial", "threads", "processes"]

WORTH = 1.25
"""How many times as fast as serial threads or processes have to be, to be worth their trouble."""

LIKED = 1.1
"""How many times as long threads may take as processes: they share everything, and start at once.
"""


class Cost(NamedTuple):
    """What one way costs, in seconds.

    Attributes:
        item: each item, with all workers at it.
        start: once, before the first item.
        failure: why it can not be used at all, if so.
    """

    item: float
    start: float = 0.0
    failure: str | None = None

    def of(self, items: int | None) -> float:
        """So many items; None for so many that the start does not count (then: each item)."""
        return self.item if items is None else self.start + items * self.item


class Verdict(NamedTuple):
    """What to use, and how many times as fast as serial that is."""

    use: Way
    speedup: float


def decide(serial: Cost, threads: Cost, processes: Cost, items: int | None) -> Verdict:
    """What to use for so many items; None if it is not known how many they are."""
    base = serial.of(items)
    ways: list[tuple[float, float, Way]] = []  # as it is judged, as it is, what
    if threads.failure is None:
        seconds = threads.of(items)
        ways.append((seconds / LIKED, seconds, "threads"))
    if processes.failure is None:
        seconds = processes.of(items)
        ways.append((seconds, seconds, "processes"))
    for _, seconds, way in sorted(ways):
        if base >= WORTH * seconds and base > 0:
            return Verdict(way, ratio(base, seconds))
    return Verdict("serial", 1.0)


def pays_from(serial: Cost, other: Cost) -> int | None:
    """From how many items on the other way is faster than serial; None if it never is."""
    gain = serial.item - other.item
    if other.failure is not None or gain <= 0:
        return None
    items = other.start / gain
    return None if items >= 1e15 else int(items) + 1


def ratio(base: float, seconds: float) -> float:
    """How many times as fast."""
    return base / seconds if seconds > 0 else 1.0


def gil_share(waited: float, cpu: float, workers: int) -> float:
    """For how much of its CPU time a function holds the GIL, judged by how its threads wait.

    Of `workers` threads that hold it whenever they run, each waits for all the others in turn: for
    ``(workers - 1) / workers`` of the time in which it neither sleeps nor lacks a CPU.

    Args:
        waited, cpu: seconds of all threads together.
        workers: how many threads.
    """
    if workers < 2 or waited + cpu <= 0:
        return 0.0
    return min(1.0, waited / (waited + cpu) * workers / (workers - 1))
