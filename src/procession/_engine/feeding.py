"""What waits for room in the task ring: first come, first served.

Most tasks never come here: they go straight into the ring. Here wait single records that
found it full, and map calls, whose chunks are cut only when there is room for them.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Protocol

from procession._core import Channel
from procession._engine.entries import Entry


class Fed(Enum):
    """How an attempt to send something went."""

    MORE = "sent one, has more"
    DONE = "has nothing more"
    FULL = "no room in the ring"
    PAUSED = "has enough on the way; comes back by itself"


class Source(Protocol):
    """Something that can send records when there is room."""

    def feed(self) -> Fed:
        """Send one record if there is room."""


class Record:
    """One encoded record that found the ring full."""

    __slots__ = ("_channel", "_code", "_entry", "_function", "_kind", "_payload")

    def __init__(
        self, channel: Channel, entry: Entry, kind: int, function: int, code: int, payload: bytes
    ) -> None:
        self._channel = channel
        self._entry = entry
        self._kind = kind
        self._function = function
        self._code = code
        self._payload = payload

    def feed(self) -> Fed:
        """Send it."""
        block = self._channel.submit(
            self._entry.number, self._kind, self._function, self._code, self._payload
        )
        if block < 0:
            return Fed.FULL
        self._entry.block = block
        return Fed.DONE


class Feeder:
    """The queue of sources. ``feed_all`` is called under the turnstile's turn only."""

    def __init__(self) -> None:
        self.sources: deque[Source] = deque()

    def feed_all(self) -> None:
        """Send until the ring is full or nothing is left."""
        sources = self.sources
        while sources:
            source = sources[0]
            fed = source.feed()
            if fed is Fed.FULL:
                return
            if fed is not Fed.MORE:
                sources.popleft()
