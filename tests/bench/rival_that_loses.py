"""A channel that loses a message and gives another one twice."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable
from typing import Any

from benchmarks.queues.channel import QueueShape


class Rival(QueueShape):
    title = "one that loses"

    @classmethod
    def open(cls, workers: int) -> Rival:
        context = multiprocessing.get_context("fork")
        return cls(context, context.SimpleQueue())

    def send(self, messages: Iterable[Any]) -> None:
        _, second, *others = messages
        super().send([second, second, *others])
