"""Items of very different durations, one map call with all defaults: is the work shared out well?

The durations follow a lognormal distribution, so few items are long; one early and one late item
get a twentieth of all the work on top. The figure is the time of the call by that of the best
possible schedule for so many workers.
"""

from __future__ import annotations

from random import Random
from time import perf_counter

from benchmarks.contract import Case, PoolRival, Unit
from benchmarks.schedules import best_possible
from benchmarks.tasks import take

MEAN = 10_000
"""Microseconds of an item."""

SEED = 6
"""So that items dealt out one by one, in order, end within a hundredth of the best possible time
with two or four workers: what is measured is the sharing out, not the luck of the list."""

LONG = 0.05
"""Share of all the work that each of the two long items gets on top."""

PLACES = (0.1, 0.8)
"""Where in the list they are."""


def durations(n: int) -> list[int]:
    """Microseconds for each of `n` items: the same list every time, `n` times the mean in sum."""
    random = Random(SEED)
    drawn = [random.lognormvariate(0.0, 1.0) for _ in range(n)]
    total = n * MEAN
    scale = total * (1 - LONG * len(PLACES)) / sum(drawn)
    found = [scale * each for each in drawn]
    for place in PLACES:
        found[int(n * place)] += LONG * total
    return [round(each) for each in found]


def run(rival: PoolRival, n: int) -> float:
    """The time that it took by the least time that it could take."""
    items = durations(n)
    start = perf_counter()
    results = rival.map_all(take, items)
    taken = perf_counter() - start
    if results != items:
        raise ValueError("wrong results")
    return taken / (best_possible(items, rival.workers) * 1e-6)


CASE = Case(
    "map of items with skewed durations, default chunking",
    200,
    run,
    Unit("× the best possible schedule"),
)
