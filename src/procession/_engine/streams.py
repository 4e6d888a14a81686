"""An imap call: pulled from its input as its results are consumed.

At any moment only so many items are on their way or waiting to be consumed (by number and by
bytes), however long the input. Each piece has its own outcome: an error or a death is raised when
its turn comes, and the iteration can go on behind it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING, Any

from procession._codec import messages
from procession._codec.functions import Sent
from procession._codec.objects import dumps, loads
from procession._engine.attendant import FULL_RING_STEP
from procession._engine.entries import DEATH, FAILURE, Record, decode, function_name
from procession._engine.turn import Turn

if TYPE_CHECKING:
    from procession._engine.engine import Engine

PIECES_A_WORKER = 64
"""Pieces (single items, or chunks) on their way or not yet consumed, for each worker."""

BYTES_AHEAD = 64 << 20
"""Bytes of pickled arguments and results on their way or not yet consumed."""

_NO_KWDS: dict[str, Any] = {}


class Piece(Record):
    """One item of an imap call, or a chunk of them with an outcome for each."""

    __slots__ = ("arrived", "count", "failure", "job", "size", "start")

    def __init__(self, job: StreamJob, start: int, count: int) -> None:
        self.job = job
        self.start = start
        self.count = count
        self.arrived: tuple[int, Any] | None = None
        self.failure: Exception | None = None  # why it could not be pickled
        self.block = None
        self.answer = None
        self.attend = True

    @property
    def function(self) -> Any:
        """What is called."""
        return self.job.function

    def arrive(self, engine: Engine, kind: int, payload: Any, taken: int) -> None:
        """Keep the answer until it is consumed, once."""
        if kind == messages.BY_VALUE:
            engine.attendant.send_by_value(self)
        elif self.arrived is None:
            size = self.size
            self.size = len(payload) if kind >= 0 else 0
            self.arrived = kind, payload
            engine.free_payload(self)
            self.job.piece_arrived(self, size)

    def describe(self, item: int) -> tuple[str, int | None]:
        """The function's name, and the item's index within the whole call."""
        return f"{function_name(self.job.function)} in an imap", self.start + item

    def outcomes(self) -> list[tuple[bool, Any]]:
        """The outcome of each item. Runs code of the user's."""
        assert self.arrived is not None
        kind, payload = self.arrived
        if kind == DEATH:
            # What was run before it is lost as well: its results were in the worker's memory.
            return [
                decode(kind, payload._replace(item=item), self.describe)
                for item in range(self.count)
            ]
        if kind == messages.OUTCOMES:
            outcomes = loads(payload)
            return [
                decode(messages.VALUE if ok else messages.ERROR, value, self.describe)
                for ok, value in outcomes
            ]
        success, value = decode(kind, payload, self.describe)
        if success and self.kind == messages.EACH:
            return [(True, one) for one in value]
        return [(success, value)] * self.count


class StreamJob:
    """One imap or imap_unordered call.

    Args:
        items: any iterable; pulled by one thread at a time.
        chunk_size: items a record, at least 1.
        ordered: outcomes in the order of the input, else as they come.
    """

    def __init__(
        self,
        engine: Engine,
        function: Callable[..., Any],
        items: Iterable[Any],
        chunk_size: int,
        ordered: bool,
    ) -> None:
        self.engine = engine
        self.function = function
        self.answer: bool | None = None  # stays None: a thread that waits for it looks itself
        self.is_exhausted = False  # nothing more is to be pulled
        self._input = iter(items)
        self._chunk_size = chunk_size
        self._ordered = ordered
        self._pulled = 0
        self._made: Piece | None = None  # pickled, not sent yet
        self._outstanding: deque[Piece] = deque()  # made and not consumed, in order (ordered)
        self._arrived: deque[Piece] = deque()  # arrived and not consumed (unordered)
        self._pieces = 0  # made and not consumed
        self._bytes = 0
        self._outcomes: deque[tuple[bool, Any]] = deque()  # decoded, about to be consumed
        self._input_error: BaseException | None = None
        self._own: Sent | None = None
        self._limit: int | None = PIECES_A_WORKER * engine.workers
        self.pull = Turn(self._pull).take

    # ---- sending; by one thread at a time

    def lift_limit(self) -> None:
        """Look ahead without bounds from now on: the pool is closing, all of it is to be done."""
        self._limit = None

    def _has_room(self) -> bool:
        if self._limit is None or self._pieces < 2 * self.engine.workers:
            return True
        return self._pieces < self._limit and self._bytes < BYTES_AHEAD

    def _pull(self) -> None:
        while self._made is not None or (self._has_room() and not self.is_exhausted):
            piece = self._made or self._make()
            if piece is None:
                return
            if piece.failure is not None:
                with self.engine.lock:
                    piece.arrive(self.engine, FAILURE, piece.failure, 0)
            elif piece.block is None and not self.engine.send(piece):
                return
            self._made = None

    def _make(self) -> Piece | None:
        """The next piece of the input, pickled; None at its end."""
        try:
            items = list(islice(self._input, self._chunk_size))
        except Exception as error:
            # As in the standard library, what was pulled of an unfinished chunk goes with it.
            self._input_error = error
            items = []
        if not items:
            self.is_exhausted = True
            self.engine.streams.discard(self)
            return None
        piece = Piece(self, self._pulled, len(items))
        piece.number = self.engine.ledger.next_number()
        try:
            piece.sent = self._function_as_sent()
            if self._chunk_size == 1:
                piece.kind = messages.CALL
                piece.payload = dumps(((items[0],), _NO_KWDS))
            else:
                piece.kind = messages.EACH
                piece.payload = dumps(items)
            piece.size = len(piece.payload)
        except Exception as error:
            piece.failure = error
            piece.kind, piece.size = messages.EACH, 0
        self._enter(piece)
        return piece

    def _enter(self, piece: Piece) -> None:
        with self.engine.lock:
            self._made = piece
            self._pulled += piece.count
            self._pieces += 1
            self._bytes += piece.size
            if self._ordered:
                self._outstanding.append(piece)

    def _function_as_sent(self) -> Sent:
        sent = self._own or self.engine.function_as_sent(self.function)
        if sent is None:
            content = dumps(self.function)
            self._own = sent = self.engine.functions.publish_content(content)
        return sent

    def abandon(self, error: BaseException) -> None:
        """Nothing can be run any more: the input ends here, with this error."""
        with self.engine.lock:
            if not self.is_exhausted:
                self._input_error = error
                self.is_exhausted = True
            made = self._made
            if made is not None and made.block is None:
                made.failure = None
                made.arrive(self.engine, FAILURE, error, 0)
                self._made = None

    # ---- arriving; under the engine's lock

    def piece_arrived(self, piece: Piece, size: int) -> None:
        """A piece, whose record had so many bytes, has its answer."""
        self._bytes += piece.size - size
        if not self._ordered:
            self._arrived.append(piece)
        self.engine.channel.wake(self)

    # ---- consuming

    def next(self, timeout: float | None = None) -> tuple[bool, Any] | None:
        """The next outcome; None if there is none within `timeout` seconds.

        Raises:
            StopIteration: there are no more.
            Exception: what the input raised, where it ended.
        """
        outcomes = self._outcomes
        if not outcomes and not self._await_outcomes(timeout):
            return None
        return outcomes.popleft()

    def _await_outcomes(self, timeout: float | None) -> bool:
        engine = self.engine
        deadline = None if timeout is None else monotonic() + timeout
        while True:
            self.pull()
            piece = self._arrived_piece()
            if piece is not None:
                outcomes = piece.outcomes()
                self._consume(piece)
                self._outcomes.extend(outcomes)
                return True
            if self.is_exhausted and not self._pieces:
                self._end()
            left = None if deadline is None else deadline - monotonic()
            if left is not None and left <= 0:
                return False
            if self._made is not None:  # the ring was full: try again when there may be room
                left = FULL_RING_STEP if left is None else min(left, FULL_RING_STEP)
            engine.step(self, left)

    def _arrived_piece(self) -> Piece | None:
        if self._ordered:
            if self._outstanding and self._outstanding[0].arrived is not None:
                return self._outstanding[0]
            return None
        return self._arrived[0] if self._arrived else None

    def _consume(self, piece: Piece) -> None:
        with self.engine.lock:
            queue = self._outstanding if self._ordered else self._arrived
            if queue and queue[0] is piece:
                queue.popleft()
                self._pieces -= 1
                self._bytes -= piece.size

    def _end(self) -> None:
        if self._own is not None:
            self.engine.channel.free(self._own.code)
            self._own = None
        error, self._input_error = self._input_error, None
        if error is not None:
            raise error
        raise StopIteration from None
