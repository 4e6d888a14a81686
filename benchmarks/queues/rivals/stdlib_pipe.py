"""The standard library's Pipe, which has no locks: for one producer and one consumer."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Iterator
from typing import Any

from benchmarks.queues.channel import ChannelRival


class Rival(ChannelRival):
    title = "multiprocessing.Pipe"
    most_pairs = 1

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self.reader, self.writer = context.Pipe(duplex=False)

    @classmethod
    def open(cls, workers: int) -> Rival:
        return cls(multiprocessing.get_context("fork"))

    def close(self) -> None:
        super().close()
        self.reader.close()
        self.writer.close()

    def send(self, messages: Iterable[Any]) -> None:
        send = self.writer.send
        for message in messages:
            send(message)

    def receive(self, count: int) -> Iterator[Any]:
        receive = self.reader.recv
        for _ in range(count):
            yield receive()
