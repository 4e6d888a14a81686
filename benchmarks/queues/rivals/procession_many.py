"""Our Queue by its calls for many messages, 100 at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import procession
from benchmarks.contract import NotOffered
from benchmarks.queues.channel import BATCH, QueueShape


class Rival(QueueShape):
    title = "procession.Queue, put_many and get_many"
    distribution = "procession"

    @classmethod
    def open(cls, workers: int) -> Rival:
        context = procession.get_context("fork")
        queue = context.Queue()
        if not hasattr(queue, "put_many"):
            raise NotOffered
        return cls(context, queue)

    def send(self, messages: Iterable[Any]) -> None:
        rest = iter(messages)
        while batch := list(islice(rest, BATCH)):
            self.queue.put_many(batch)

    def receive(self, count: int) -> Iterator[Any]:
        while count:
            batch = self.queue.get_many(min(count, BATCH))
            count -= len(batch)
            yield from batch
