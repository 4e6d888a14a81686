"""loky, the process pool underneath joblib."""

from __future__ import annotations

from loky import ProcessPoolExecutor

from benchmarks.arrays.carrier import ExecutorShape


class Rival(ExecutorShape):
    title = "loky.ProcessPoolExecutor"
    distribution = "loky"

    @classmethod
    def open(cls, workers: int) -> Rival:
        return cls(ProcessPoolExecutor(workers))
