"""The standard library's SimpleQueue."""

from __future__ import annotations

import multiprocessing

from benchmarks.queues.channel import QueueShape


class Rival(QueueShape):
    title = "multiprocessing.SimpleQueue"

    @classmethod
    def open(cls, workers: int) -> Rival:
        context = multiprocessing.get_context("fork")
        return cls(context, context.SimpleQueue())
