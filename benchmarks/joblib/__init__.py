"""The suite of joblib's backends: `python -m benchmarks.joblib`. See benchmarks/README.md."""

from __future__ import annotations

from benchmarks.joblib.cases import CASES
from benchmarks.suite import Budget, Suite

SUITE = Suite(
    name="joblib",
    title="backends of joblib",
    rivals="benchmarks.joblib.rivals",
    cases=CASES,
    budgets=tuple(Budget(case, "loky", 1) for case in CASES),
    seconds=6.0,
    beside=frozenset({"threading"}),
    workers=True,
)
