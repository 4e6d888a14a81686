"""The suite of queues: `python -m benchmarks.queues`. See benchmarks/README.md."""

from __future__ import annotations

from benchmarks.queues.cases import CASES
from benchmarks.suite import Budget, Suite

SMALL_RIVALS = ("stdlib", "stdlib_simple", "faster_fifo")

SUITE = Suite(
    name="queues",
    title="queues",
    rivals="benchmarks.queues.rivals",
    cases=CASES,
    budgets=(
        *(Budget("ints_1_to_1", rival, 3) for rival in (*SMALL_RIVALS, "stdlib_pipe")),
        *(Budget("ints_2_to_2", rival, 3) for rival in SMALL_RIVALS),
        Budget("blocks_1_to_1", "stdlib", 3),
        Budget("blocks_2_to_2", "stdlib", 3),
    ),
    seconds=0.5,
    beside=frozenset({"procession_many", "procession_simple"}),
)
