"""The suite of arrays: `python -m benchmarks.arrays`. See benchmarks/README.md."""

from __future__ import annotations

from benchmarks.arrays.cases import CASES, MILLISECONDS
from benchmarks.suite import Budget, Ceiling, Suite

SUITE = Suite(
    name="arrays",
    title="arrays",
    rivals="benchmarks.arrays.rivals",
    cases=CASES,
    budgets=(
        Budget("in_sum", "memcpy", 0.6),
        Budget("in_sum", "stdlib_fork", 20),
        Budget("in_sum", "ray", 4),
        Budget("out", "stdlib_fork", 10),
        Budget("out", "ray", 2),
        Budget("out_first", "stdlib_fork", 10),
        Budget("out_first", "ray", 2),
        Ceiling("shared_sum", "the clock", 60, unit=MILLISECONDS),
        Ceiling("shared_touch", "the clock", 60, unit=MILLISECONDS),
    ),
    seconds=3.0,
    beside=frozenset({"procession_executor", "memcpy"}),
    workers=True,
)
