"""One no-op task at a time: sent, run, waited for. The figure is the median of all of them."""

from __future__ import annotations

from statistics import median
from time import perf_counter

from benchmarks.contract import Case, PoolRival
from benchmarks.tasks import noop


def run(rival: PoolRival, n: int) -> float:
    """Seconds for one round trip."""
    taken = []
    for value in range(n):
        start = perf_counter()
        result = rival.round_trip(noop, value)
        taken.append(perf_counter() - start)
        if result != value:
            raise ValueError(f"noop({value}) gave {result!r}")
    return median(taken)


CASE = Case("round trip of one no-op task", 2000, run)
