"""Our SimpleQueue."""

from __future__ import annotations

import procession
from benchmarks.queues.channel import QueueShape


class Rival(QueueShape):
    title = "procession.SimpleQueue"
    distribution = "procession"

    @classmethod
    def open(cls, workers: int) -> Rival:
        context = procession.get_context("fork")
        return cls(context, context.SimpleQueue())
