"""billiard, Celery's fork of multiprocessing."""

from __future__ import annotations

from billiard import Pool

from benchmarks.shapes import PoolShape


class Rival(PoolShape):
    title = "billiard.Pool"
    distribution = "billiard"

    @classmethod
    def open(cls, workers: int) -> Rival:
        return cls(Pool(workers))
