"""As round_trip, but everybody has had time to fall asleep before each task."""

from __future__ import annotations

from statistics import median
from time import perf_counter, sleep

from benchmarks.contract import Case, PoolRival
from benchmarks.tasks import noop

IDLE = 0.005
"""Seconds of idleness before each task."""


def run(rival: PoolRival, n: int) -> float:
    """Seconds for one round trip, without the idleness."""
    taken = []
    for value in range(n):
        sleep(IDLE)
        start = perf_counter()
        result = rival.round_trip(noop, value)
        taken.append(perf_counter() - start)
        if result != value:
            raise ValueError(f"noop({value}) gave {result!r}")
    return median(taken)


CASE = Case("round trip of one no-op task after 5 ms of idleness", 300, run)
