"""The standard library's ProcessPoolExecutor, its workers forked."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

from benchmarks.arrays.carrier import ExecutorShape


class Rival(ExecutorShape):
    title = "ProcessPoolExecutor (fork)"

    @classmethod
    def open(cls, workers: int) -> Rival:
        context = multiprocessing.get_context("fork")
        return cls(ProcessPoolExecutor(workers, mp_context=context))
