"""faster-fifo. Its queue has the size that its documentation shows: a million bytes."""

from __future__ import annotations

import multiprocessing

from faster_fifo import Queue

from benchmarks.queues.channel import QueueShape


class Rival(QueueShape):
    title = "faster_fifo.Queue"
    distribution = "faster-fifo"

    @classmethod
    def open(cls, workers: int) -> Rival:
        return cls(multiprocessing.get_context("fork"), Queue(1000 * 1000))
