"""The standard library's ProcessPoolExecutor, start method fork."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

from benchmarks.shapes import ExecutorShape


class Rival(ExecutorShape):
    title = "ProcessPoolExecutor (fork)"

    @classmethod
    def open(cls, workers: int) -> Rival:
        return cls(ProcessPoolExecutor(workers, multiprocessing.get_context("fork")))
