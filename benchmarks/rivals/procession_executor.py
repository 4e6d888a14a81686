"""Ourselves, behind the interface of concurrent.futures."""

from __future__ import annotations

from benchmarks.shapes import ExecutorShape
from procession.futures import Executor


class Rival(ExecutorShape):
    title = "procession.Executor"
    distribution = "procession"

    @classmethod
    def open(cls, workers: int) -> Rival:
        return cls(Executor(workers))
