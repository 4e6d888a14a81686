"""What the rivals of queues have to offer: messages sent by some processes, received by others."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any

from benchmarks.contract import Rival
from benchmarks.crew import Crew

BATCH = 100
"""Messages for each call that takes or gives several."""


class ChannelRival(Rival):
    """Carries messages from producers to consumers, all of them forked.

    Args:
        context: starts processes, with a ``Process`` of its own.

    Attributes:
        crew: producers and consumers, once they are needed.
    """

    most_pairs: int | None = None
    """So many producers, and as many consumers, are all that it can serve."""

    def __init__(self, context: Any) -> None:
        self.context = context
        self.crew: Crew | None = None

    @abstractmethod
    def send(self, messages: Iterable[Any]) -> None:
        """What a producer does."""

    @abstractmethod
    def receive(self, count: int) -> Iterator[Any]:
        """What a consumer does: so many messages, one by one."""

    def start(self, function: Any, arguments: tuple[Any, ...]) -> Any:
        """A process of the context's."""
        process = self.context.Process(target=function, args=arguments)
        process.start()
        return process

    def close(self) -> None:
        if self.crew is not None:
            self.crew.close()


class QueueShape(ChannelRival):
    """Has the methods of ``multiprocessing.Queue``."""

    def __init__(self, context: Any, queue: Any) -> None:
        super().__init__(context)
        self.queue = queue

    def send(self, messages: Iterable[Any]) -> None:
        put = self.queue.put
        for message in messages:
            put(message)

    def receive(self, count: int) -> Iterator[Any]:
        get = self.queue.get
        for _ in range(count):
            yield get()
