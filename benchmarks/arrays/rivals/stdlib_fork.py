"""The standard library's Pool, its workers forked."""

from __future__ import annotations

import multiprocessing

from benchmarks.arrays.carrier import PoolShape


class Rival(PoolShape):
    title = "multiprocessing.Pool (fork)"

    @classmethod
    def open(cls, workers: int) -> Rival:
        return cls(multiprocessing.get_context("fork").Pool(workers))
