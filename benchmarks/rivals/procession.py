"""Ourselves."""

from __future__ import annotations

from benchmarks.shapes import PoolShape
from procession.pool import Pool


class Rival(PoolShape):
    title = "procession.Pool"
    distribution = "procession"

    @classmethod
    def open(cls, workers: int) -> Rival:
        return cls(Pool(workers))
