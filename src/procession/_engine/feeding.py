"""What waits for room in the task ring.

Most tasks never come here: they go straight into the ring. Here wait records that found it full
or are to be sent again, and the calls that cut their records late (maps).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from procession._engine.entries import Record


class Job(Protocol):
    """A call that makes its records when there is room."""

    def feed(self) -> None:
        """Make and send records, as many as may be on their way."""

    def abandon(self, error: BaseException | None = None) -> None:
        """Send no more; with an error, what is not sent fails with it."""

    is_short: bool
    """Whether there was no room in the arena for its next record."""

    @property
    def all_sent(self) -> bool:
        """Whether nothing is left to send."""


class Feeder:
    """The queues. ``records`` is guarded by the engine's lock; each job takes care of itself.

    Args:
        send: puts a record into the ring; False if there is no room.
    """

    def __init__(self, send: Callable[[Record], bool]) -> None:
        self.records: deque[Record] = deque()
        self.jobs: dict[Job, None] = {}  # in the order they came
        self._send = send

    def feed_records(self) -> None:
        """Send what waits, first come, first served. Under the engine's lock."""
        records = self.records
        while True:
            try:
                record = records[0]
            except IndexError:  # no more; an interrupt's handler may have come in here
                return
            # One that an interrupt left here although it was sent has a block already.
            if record.block is None and not self._send(record):
                return
            if records and records[0] is record:
                records.popleft()

    def feed_jobs(self) -> None:
        """Give each job its chance to send. Runs code of the user's (pickling)."""
        for job in list(self.jobs):
            job.feed()
            if job.all_sent:
                self.jobs.pop(job, None)

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not self.records and not self.jobs
