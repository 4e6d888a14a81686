"""Results one by one as they come, each item sent alone."""

from __future__ import annotations

from time import perf_counter

from benchmarks.contract import Case, PoolRival
from benchmarks.tasks import noop


def run(rival: PoolRival, n: int) -> float:
    """Seconds for one item."""
    start = perf_counter()
    results = list(rival.imap_unordered_all(noop, range(n)))
    taken = perf_counter() - start
    if sorted(results) != list(range(n)):
        raise ValueError("wrong results")
    return taken / n


CASE = Case("imap_unordered(chunksize=1)", 20_000, run)
