"""The standard library's, for processes."""

from __future__ import annotations

import multiprocessing

from benchmarks.sync.kit import KitRival


class Rival(KitRival):
    title = "multiprocessing (fork)"

    @classmethod
    def open(cls, workers: int) -> Rival:
        return cls(multiprocessing.get_context("fork"))
