"""One map call over a range of small items, chunks as the rival chooses."""

from __future__ import annotations

from time import perf_counter

from benchmarks.contract import Case, PoolRival
from benchmarks.tasks import square


def run(rival: PoolRival, n: int) -> float:
    """Seconds for one item."""
    arguments = range(n)
    start = perf_counter()
    results = rival.map_all(square, arguments)
    taken = perf_counter() - start
    if results != [value * value for value in arguments]:
        raise ValueError("wrong results")
    return taken / n


CASE = Case("map(square, range(n)), default chunking", 1_000_000, run)
