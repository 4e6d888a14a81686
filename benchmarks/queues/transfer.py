"""The one kind of work of all the cases: so many messages through, with nothing lost or doubled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.contract import NotOffered, Unit
from benchmarks.crew import Crew, Part
from benchmarks.queues.channel import ChannelRival

RATE = Unit("messages per second", rate=True)


@dataclass(frozen=True)
class Transfer:
    """Messages from producers to as many consumers. Each does its equal share.

    Attributes:
        pairs: how many producers, and how many consumers.
        messages: what the producer of a number sends, so many.
        tally: a number for what a consumer received.
    """

    pairs: int
    messages: Callable[[int, int], Iterable[Any]]
    tally: Callable[[Iterator[Any]], int]

    def run(self, rival: ChannelRival, n: int) -> float:
        """Seconds for one message, from the first put to the last get.

        Raises:
            NotOffered: the rival can not serve so many.
            ValueError: what was received is not what was sent.
        """
        if rival.most_pairs is not None and self.pairs > rival.most_pairs:
            raise NotOffered
        if rival.crew is None:
            parts = [self._produce(rival, number) for number in range(self.pairs)]
            parts += [self._consume(rival)] * self.pairs
            rival.crew = Crew(rival.start, parts)
        share = max(1, n // self.pairs)
        done = rival.crew.run(share)
        sent = sum(self.tally(iter(self.messages(number, share))) for number in range(self.pairs))
        received = sum(done.tallies)
        if received != sent:
            raise ValueError(f"sent messages that add up to {sent}, received {received}")
        return done.seconds / (share * self.pairs)

    def _produce(self, rival: ChannelRival, number: int) -> Part:
        def part(share: int) -> int:
            rival.send(self.messages(number, share))
            return 0

        return part

    def _consume(self, rival: ChannelRival) -> Part:
        def part(share: int) -> int:
            return self.tally(rival.receive(share))

        return part
