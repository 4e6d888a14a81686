"""The standard library's JoinableQueue: consumers tell what is done, producers wait for it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Iterator
from typing import Any

from benchmarks.queues.channel import QueueShape


class Rival(QueueShape):
    title = "multiprocessing.JoinableQueue"

    @classmethod
    def open(cls, workers: int) -> Rival:
        context = multiprocessing.get_context("fork")
        return cls(context, context.JoinableQueue())

    def send(self, messages: Iterable[Any]) -> None:
        super().send(messages)
        self.queue.join()

    def receive(self, count: int) -> Iterator[Any]:
        done = self.queue.task_done
        for message in super().receive(count):
            yield message
            done()
