"""How long given work takes at least, and how long if it is simply dealt out in order."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heapreplace


def best_possible(durations: Sequence[float], workers: int) -> float:
    """What no schedule can beat: an equal share for each worker, or the longest item.

    The true optimum may be a little above it, so who is compared with this is never flattered.
    """
    return max(sum(durations) / workers, *durations)


def dealt_out(durations: Sequence[float], workers: int) -> float:
    """Each item goes, in the given order, to the worker that is free first: the best that can be
    done without knowing the durations, if handing out an item costs nothing."""
    free = [0.0] * workers
    heapify(free)
    for duration in durations:
        heapreplace(free, free[0] + duration)
    return max(free)
