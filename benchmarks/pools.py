"""The suite of pools: tasks sent to workers, and their results. `python -m benchmarks` runs it."""

from __future__ import annotations

from benchmarks.cases import CASES
from benchmarks.suite import Budget, Suite

SUITE = Suite(
    name="pools",
    title="pools",
    rivals="benchmarks.rivals",
    cases=CASES,
    budgets=(
        Budget("round_trip", "stdlib_fork", 20),
        Budget("round_trip", "process_pool_executor", 20),
        Budget("submits", "stdlib_fork", 6),
        Budget("map", "stdlib_fork", 2),
        Budget("imap_unordered", "stdlib_fork", 5),
    ),
    seconds=3.0,
    workers=True,
)
