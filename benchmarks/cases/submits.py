"""Many no-op tasks, each submitted singly, then each result got singly."""

from __future__ import annotations

from time import perf_counter

from benchmarks.contract import Case, PoolRival
from benchmarks.tasks import noop


def run(rival: PoolRival, n: int) -> float:
    """Seconds for one task, from the first submission to the last result."""
    start = perf_counter()
    results = rival.submit_all(noop, range(n))
    taken = perf_counter() - start
    if results != list(range(n)):
        raise ValueError("wrong results")
    return taken / n


CASE = Case("single submits, then all results", 20_000, run)
