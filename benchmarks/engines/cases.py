"""The cases: a case for each engine, in which its own call stands beside ours."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter

from benchmarks.contract import Case
from benchmarks.engines.user import EngineRival
from benchmarks.tasks import square

ITEMS = 100_000
WARM_UP = 3
"""Calls before the one that counts: an engine's workers come up with the work."""


@dataclass(frozen=True)
class Tiny:
    """One map call over a range of small items, chunks as the rival chooses.

    Attributes:
        method: of the rival.
    """

    method: str

    def run(self, rival: EngineRival, n: int) -> float:
        """Seconds for one item."""
        arguments = range(n)
        call = getattr(rival, self.method)
        for _ in range(WARM_UP):
            call(square, arguments)
        start = perf_counter()
        results = call(square, arguments)
        taken = perf_counter() - start
        if results != [value * value for value in arguments]:
            raise ValueError("wrong results")
        return taken / n


CASES = {
    "map_on_ray": Case(
        "Ray: map(square, range(n)), default chunking", ITEMS, Tiny("map_on_ray").run
    ),
}
