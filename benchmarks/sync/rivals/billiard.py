"""billiard, Celery's fork of multiprocessing."""

from __future__ import annotations

import billiard

from benchmarks.sync.kit import KitRival


class Rival(KitRival):
    title = "billiard (fork)"
    distribution = "billiard"

    @classmethod
    def open(cls, workers: int) -> Rival:
        return cls(billiard.get_context("fork"))
