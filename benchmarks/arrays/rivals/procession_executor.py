"""Our executor: another way of our own."""

from __future__ import annotations

from typing import Any

from benchmarks.arrays.carrier import ExecutorShape
from benchmarks.arrays.rivals.procession import shared
from procession.futures import Executor


class Rival(ExecutorShape):
    title = "procession.Executor"
    distribution = "procession"

    @classmethod
    def open(cls, workers: int) -> Rival:
        return cls(Executor(workers))

    def shared(self, array: Any) -> Any:
        return shared(array)
