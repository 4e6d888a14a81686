"""The suite of pools: tasks sent to workers, and their results. `python -m benchmarks` runs it."""

from __future__ import annotations

from benchmarks.cases import CASES
from benchmarks.suite import Budget, Ceiling, Suite

SUITE = Suite(
    name="pools",
    title="pools",
    rivals="benchmarks.rivals",
    cases=CASES,
    budgets=(
        Budget("round_trip", "stdlib_fork", 20),
        Budget("round_trip", "process_pool_executor", 20),
        Budget("round_trip_idle", "futex", 0.5),
        Budget("submits", "stdlib_fork", 8),
        Budget("submits", "process_pool_executor", 25, whose="procession_executor"),
        Budget("map", "stdlib_fork", 2.5),
        Budget("imap_unordered", "stdlib_fork", 8),
        Ceiling("skew", "best possible schedule", 1.05),
    ),
    seconds=3.0,
    beside=frozenset({"procession_executor", "futex"}),
    workers=True,
)
