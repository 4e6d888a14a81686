"""The standard library's Queue."""

from __future__ import annotations

import multiprocessing

from benchmarks.queues.channel import QueueShape


class Rival(QueueShape):
    title = "multiprocessing.Queue"

    @classmethod
    def open(cls, workers: int) -> Rival:
        context = multiprocessing.get_context("fork")
        return cls(context, context.Queue())
