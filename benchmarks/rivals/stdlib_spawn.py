"""The standard library's Pool, start method spawn."""

from __future__ import annotations

import multiprocessing

from benchmarks.shapes import PoolShape


class Rival(PoolShape):
    title = "multiprocessing.Pool (spawn)"

    @classmethod
    def open(cls, workers: int) -> Rival:
        return cls(multiprocessing.get_context("spawn").Pool(workers))
