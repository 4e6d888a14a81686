"""What came of neighbouring items, as it came: an answer to a piece, or a part of one."""

from __future__ import annotations

from concurrent.futures.process import BrokenProcessPool
from typing import Any, Final

from procession import _core
from procession._codec import messages
from procession._codec.buffers import size_of
from procession._codec.given import GivenOutcomes
from procession._codec.objects import loads
from procession._engine.entries import (
    CANCELLED,
    DEATH,
    FAILURE,
    Answer,
    decode,
    noted,
    raised,
)
from procession._engine.pieces import Piece

PART_OF_OUTCOMES: Final = messages.OUTCOMES | messages.PART

PART_FAILED: Final = FAILURE | messages.PART
"""There was no memory for what a part brought."""

OF_ITEMS: Final = (messages.OUTCOMES, PART_OF_OUTCOMES)
"""All other kinds are about the whole piece."""


class _Exit(Exception):
    """Stands for what a result raised that is no Exception.

    Attributes:
        error: that.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


def _loads_firmly(content: bytes | memoryview) -> Any:
    try:
        return loads(content)
    except Exception:
        raise
    except BaseException as error:
        raise _Exit(error) from None


class Batch:
    """Outcomes of neighbouring items, as they came: decoded by who wants them.

    Attributes:
        start: the index in the call of the first of them.
        count: how many.
        skipped: those among them that are run again, from 0; they have no outcome here.
        is_absorbed: whether the others were put to where they belong.
    """

    __slots__ = (
        "_decoded",
        "_is_tried_again",
        "answer",
        "count",
        "describe",
        "is_absorbed",
        "offset",
        "skipped",
        "start",
        "timeout",
    )

    def __init__(
        self, piece: Piece, first: int, count: int, answer: Answer, skipped: frozenset[int]
    ) -> None:
        self.start = piece.start + first
        self.count = count
        self.answer = answer
        self.skipped = skipped
        self.is_absorbed = False
        self.offset = first
        self.describe = piece.describe
        self.timeout = piece.options.timeout
        self._decoded: tuple[list[Any], dict[int, BaseException]] | None = None
        self._is_tried_again = False

    @property
    def size(self) -> int:
        """Bytes, while it is not decoded."""
        kind, payload, _ = self.answer
        return size_of(payload) if kind in OF_ITEMS else 0

    @property
    def is_over(self) -> bool:
        """Whether they were not run because the whole call, or the pool, is over."""
        kind, payload, _ = self.answer
        return kind == CANCELLED or (kind == FAILURE and isinstance(payload, BrokenProcessPool))

    def decode(self) -> tuple[list[Any], dict[int, BaseException]]:
        """The values, and the exceptions by their place among them. Runs code of the user's.

        Raises:
            BaseException: what is no Exception: from a signal handler, most likely. If it comes
                when this is tried again, it is the outcome of the item that raises it.
        """
        decoded = self._decoded
        if decoded is None:
            try:
                decoded = self._decode()
            except BaseException:
                self._is_tried_again = True
                raise
            # Two threads may be at the same one, for none waits for another: the first one's stay.
            if self._decoded is None:
                self._decoded = decoded
            decoded = self._decoded
        return decoded

    def _decode(self) -> tuple[list[Any], dict[int, BaseException]]:
        kind, payload, _ = self.answer
        if kind not in OF_ITEMS:
            if kind == DEATH:
                errors = {
                    place: decode(kind, payload._replace(item=self.offset + place), self.describe)
                    for place in range(self.count)
                }
                return [None] * self.count, {at: error for at, (_, error) in errors.items()}
            _, error = decode(kind, payload, self.describe)
            return [None] * self.count, dict.fromkeys(range(self.count), error)
        failures: list[tuple[int, Any]] = []
        if type(payload) is GivenOutcomes:
            return payload.values, {
                place: error
                for place, error in payload.failures.items()
                if place not in self.skipped
            }
        if type(payload) is not bytes:  # one value, whose buffers came apart
            try:
                success, value = decode(messages.VALUE, payload, self.describe)
            except BaseException as error:
                if not self._is_tried_again:
                    raise
                success, value = False, noted(error)
            return [value], {} if success else {0: value}
        firmly = _loads_firmly if self._is_tried_again else loads
        values = _core.decode_outcomes(payload, firmly, failures)
        return values, {
            place: self._error(place, what) for place, what in failures if place not in self.skipped
        }

    def _error(self, place: int, what: Any) -> BaseException:
        if isinstance(what, Exception):
            return noted(what.error if isinstance(what, _Exit) else what)
        return raised(what, self.describe, self.offset + place, self.timeout)
