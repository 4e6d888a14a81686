"""The suite of engines: `python -m benchmarks.engines`. See benchmarks/README.md."""

from __future__ import annotations

from benchmarks.engines.cases import CASES
from benchmarks.suite import Budget, Suite

SUITE = Suite(
    name="engines",
    title="engines",
    rivals="benchmarks.engines.rivals",
    cases=CASES,
    budgets=(Budget("map_on_ray", "ray_pool", 10),),
    seconds=30.0,
    beside=frozenset({"serial"}),
    workers=True,
)
