"""The suite of synchronization: `python -m benchmarks.sync`. See benchmarks/README.md."""

from __future__ import annotations

from benchmarks.suite import Budget, Suite
from benchmarks.sync.cases import CASES

SUITE = Suite(
    name="sync",
    title="synchronization",
    rivals="benchmarks.sync.rivals",
    cases=CASES,
    budgets=(
        Budget("lock", "stdlib", 1),
        Budget("with_lock", "stdlib", 2),
        Budget("contended_lock", "stdlib", 1),
        Budget("event_ping_pong", "stdlib", 2),
        Budget("condition_ping_pong", "stdlib", 2),
        Budget("value_add", "stdlib", 2),
    ),
    seconds=0.5,
    beside=frozenset({"threading"}),
)
