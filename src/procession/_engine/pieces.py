"""A piece: a range of the items of one payload, sent to the workers as one record.

Whatever happens to a piece cuts its range and nothing else. What a worker has finished is
delivered; the item at which it died or was too late fails, or is run again by itself; what was
not begun, or is taken back from a worker that is stuck, goes out again. The payload is pickled
once and travels with every part of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from procession._codec.buffers import size_of
from procession._engine.entries import Record, function_name

if TYPE_CHECKING:
    from procession._engine.engine import Engine
    from procession._engine.jobs import Job

LARGEST = (1 << 24) - 1
"""Items in a piece, at most: the core counts them in 24 bits."""


class Piece(Record):
    """The items ``first`` to ``end`` of a payload.

    Attributes:
        start: the index in the whole call of the payload's item 0.
        reached: the outcomes of the items before this one are here.
        failure: why it could not be pickled or sent.
    """

    __slots__ = ("end", "failure", "first", "job", "reached", "size", "start")

    attend: bool

    def __init__(self, job: Job, start: int, first: int, end: int) -> None:
        super().__init__(None, job.function, job.options)
        self.job = job
        self.start = start
        self.first = self.reached = first
        self.end = end
        self.payload = b""
        self.size = 0
        self.failure: BaseException | None = None
        self.attend = True

    @property
    def is_wanted(self) -> bool:  # type: ignore[override]
        """Whether its call was not given up."""
        return not self.job.is_closed

    def part(self, first: int, end: int, payload: bytes) -> Piece:
        """A part of it, to be sent by itself."""
        part = Piece(self.job, self.start, first, end)
        part.kind, part.sent, part.payload, part.size = self.kind, self.sent, payload, self.size
        return part

    def alone(self, item: int, payload: bytes) -> Piece:
        """One item of it, with a payload of its own."""
        alone = Piece(self.job, self.start + item, 0, 1)
        alone.kind, alone.sent = self.kind, self.sent
        alone.payload, alone.size = payload, size_of(payload)
        return alone

    def arrive(
        self, engine: Engine, kind: int, payload: Any, taken: int, first: int = 0, end: int = 0
    ) -> None:
        """Hand what came to its job, which bears being told twice."""
        self.job.arrived(self, kind, payload, taken, first, end)

    def describe(self, item: int) -> tuple[str, int | None]:
        """The function's name, and the item's index within the whole call."""
        name = self.options.name or f"{function_name(self.function)} in {self.job.WORD}"
        return name, self.start + item
