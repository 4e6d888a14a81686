"""One request under way to another engine: a *flight*.

Its place stays taken until the engine is done with it, even if nobody wants its outcome any more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic_ns
from typing import TYPE_CHECKING, Any, NamedTuple

from procession._engine.pieces import Piece

if TYPE_CHECKING:
    from concurrent.futures import Future

    from procession._backends.remote import Response
    from procession._engine.entries import Record

Seat = tuple[int, int, int, int, int, int, int]
"""As the core describes a claim."""


class Cargo(NamedTuple):
    """What a record is for ``Backend.submit``."""

    run: Callable[..., Any]
    request: Any
    handles: Sequence[Any]


class Flight:
    """One request under way.

    Attributes:
        outcome: a ``Response``, or what the engine raised; None before.
        is_over: its outcome was handed out, or is not wanted any more.
        since, is_sure: when it was begun, and whether the engine said so.
    """

    __slots__ = ("future", "is_over", "is_sure", "number", "outcome", "record", "seat", "since")

    def __init__(self, seat: int, record: Record) -> None:
        self.seat = seat
        self.record = record
        self.number = record.number
        self.since = monotonic_ns()
        self.future: Future[Any] | None = None
        self.outcome: Response | BaseException | None = None
        self.is_over = False
        self.is_sure = False

    def row(self) -> Seat:
        """The claim of a worker that is at it."""
        record, since = self.record, self.since
        if isinstance(record, Piece):
            first = record.first
            return self.seat, self.number, first + 1, record.end, first, since, since
        return self.seat, self.number, 0, 1, 0, since, since
