"""billiard, Celery's fork of multiprocessing."""

from __future__ import annotations

import billiard

from benchmarks.queues.channel import QueueShape


class Rival(QueueShape):
    title = "billiard.Queue"
    distribution = "billiard"

    @classmethod
    def open(cls, workers: int) -> Rival:
        context = billiard.get_context("fork")
        return cls(context, context.Queue())
