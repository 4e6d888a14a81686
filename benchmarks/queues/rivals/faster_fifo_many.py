"""faster-fifo by its calls for many messages, 100 at once; there is room for a whole call."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from faster_fifo import Queue

from benchmarks.queues.channel import BATCH, QueueShape

SIZE = 8 << 20


class Rival(QueueShape):
    title = "faster_fifo.Queue, put_many and get_many"
    distribution = "faster-fifo"

    @classmethod
    def open(cls, workers: int) -> Rival:
        return cls(multiprocessing.get_context("fork"), Queue(SIZE))

    def send(self, messages: Iterable[Any]) -> None:
        rest = iter(messages)
        while batch := list(islice(rest, BATCH)):
            self.queue.put_many(batch)

    def receive(self, count: int) -> Iterator[Any]:
        while count:
            batch = self.queue.get_many(max_messages_to_get=min(count, BATCH))
            count -= len(batch)
            yield from batch
