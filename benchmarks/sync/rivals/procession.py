"""Ourselves."""

from __future__ import annotations

import procession
from benchmarks.sync.kit import KitRival


class Rival(KitRival):
    title = "procession (fork)"
    distribution = "procession"

    @classmethod
    def open(cls, workers: int) -> Rival:
        return cls(procession.get_context("fork"))
