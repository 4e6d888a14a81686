"""The standard library's Pool, start method forkserver."""

from __future__ import annotations

import multiprocessing

from benchmarks.shapes import PoolShape


class Rival(PoolShape):
    title = "multiprocessing.Pool (forkserver)"

    @classmethod
    def open(cls, workers: int) -> Rival:
        return cls(multiprocessing.get_context("forkserver").Pool(workers))
