"""What waits for room in the task ring.

Most tasks never come here: they go straight into the ring. Here wait records that found it full
or are to be sent again, and the calls that cut their records late (maps).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from procession._engine.turn import Turn

if TYPE_CHECKING:
    from procession._engine.entries import Record


class Job(Protocol):
    """A call that makes its records when there is room."""

    def feed(self) -> bool:
        """Make and send one record. False: not now, or nothing is left to send."""

    @property
    def all_sent(self) -> bool:
        """Whether nothing is left to send."""


class Feeder:
    """The queues. ``records`` is guarded by the engine's lock; ``jobs`` by their turn.

    Args:
        send: puts a record into the ring; False if there is no room.
    """

    def __init__(self, send: Callable[[Record], bool]) -> None:
        self.records: deque[Record] = deque()
        self.jobs: list[Job] = []
        self.feed_jobs = Turn(self._feed_jobs).take
        self._send = send

    def feed_records(self) -> None:
        """Send what waits, first come, first served. Under the engine's lock."""
        records = self.records
        while records:
            record = records[0]
            # One that an interrupt left here although it was sent has a block already.
            if record.block is None and not self._send(record):
                return
            if records and records[0] is record:
                records.popleft()

    def _feed_jobs(self) -> None:
        for job in list(self.jobs):
            while job.feed():
                pass
            if job.all_sent and job in self.jobs:
                self.jobs.remove(job)

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not self.records and not self.jobs
