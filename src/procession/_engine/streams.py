"""An imap call: pulled from its input as its results are consumed.

At any moment only so many items are on their way or waiting to be consumed (by number and by
bytes), however long the input. Each piece has its own outcome: an error or a death is raised when
its turn comes, and the iteration can go on behind it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn

from procession._codec import messages
from procession._codec.functions import Sent
from procession._codec.objects import dumps, loads
from procession._engine.attendant import FULL_RING_STEP, STEP
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

    __slots__ = ("arrived", "count", "failure", "is_consumed", "is_listed", "job", "size", "start")

    def __init__(self, job: StreamJob, start: int, count: int) -> None:
        self.job = job
        self.function = job.function
        self.start = start
        self.count = count
        self.size = 0  # bytes of its arguments, then of its results
        self.arrived: tuple[int, Any] | None = None
        self.is_listed = False  # in the queue of the ordered
        self.is_consumed = False
        self.failure: Exception | None = None  # why it could not be pickled
        self.block = None
        self.answer = None
        self.attend = True

    def arrive(self, engine: Engine, kind: int, payload: Any, taken: int) -> None:
        """Keep the answer until it is consumed, once."""
        engine.free_payload(self)
        self.job.piece_arrived(self, kind, payload)

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
        self.answer: bool | None = None  # True: something came; who waits looks, and clears it
        self.is_exhausted = False  # nothing more is to be pulled
        self._input = iter(items)
        self._chunk_size = chunk_size
        self._ordered = ordered
        self._taken: list[Any] | None = None  # pulled, not pickled yet
        self._pulled = 0
        self._made: Piece | None = None  # pickled, not sent yet
        self._outstanding: deque[Piece] = deque()  # made and not consumed, in order (ordered)
        self._arrived: deque[Piece] = deque()  # arrived and not consumed (unordered)
        self._pieces = 0  # made and not consumed
        self._bytes = 0
        self._decoded: dict[Piece, deque[tuple[bool, Any]]] = {}  # what is left of those begun
        self._input_error: BaseException | None = None
        self._own: Sent | None = None  # a function published for this call alone
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
            if piece.block is None and not piece.arrived:  # else an interrupt came in behind that
                if self._ordered and not piece.is_listed:
                    self._outstanding.append(piece)  # twice after an interrupt: see _consume
                    piece.is_listed = True
                if piece.failure is None and not self._send(piece):
                    return
                if piece.failure is not None:
                    with self.engine.lock:
                        piece.arrive(self.engine, FAILURE, piece.failure, 0)
            self._made = None

    def _send(self, piece: Piece) -> bool:
        try:
            return self.engine.send(piece)
        except MemoryError as error:
            piece.failure = error
            return True

    def _make(self) -> Piece | None:
        """The next piece of the input, pickled; None at its end."""
        if self._taken is None:
            try:
                self._taken = list(islice(self._input, self._chunk_size))
            except BaseException as error:
                if not isinstance(error, Exception) and _is_main_thread():
                    raise  # an interrupt, most likely
                # As in the standard library, what was pulled of an unfinished chunk goes with it.
                self._input_error = error
        items = self._taken
        if not items:
            self._exhaust()
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
        with self.engine.lock:
            if self.is_exhausted:  # abandoned meanwhile
                return None
            # No call in between, so no interrupt: all of it or nothing.
            self._made = piece
            self._taken = None
            self._pulled += piece.count
            self._pieces += 1
            self._bytes += piece.size
        return piece

    def _exhaust(self) -> None:
        self.is_exhausted = True
        self.engine.streams.discard(self)
        self._tell()

    def _function_as_sent(self) -> Sent:
        functions = self.engine.functions
        # Asked for each time: what a lambda captured may change meanwhile.
        sent = self._own or functions.find(self.function) or functions.publish(self.function)
        if sent is None:
            self._own = sent = functions.publish_for_one(self.function)
        return sent

    def abandon(self, error: BaseException) -> None:
        """Nothing can be run any more: the input ends here, with this error."""
        with self.engine.lock:
            if not self.is_exhausted:
                self._input_error = error
            made = self._made
            if made is not None and made.block is None:
                if self._ordered:
                    self._outstanding.append(made)
                made.arrive(self.engine, FAILURE, error, 0)
                self._made = None
            self._exhaust()

    # ---- arriving; under the engine's lock

    def piece_arrived(self, piece: Piece, kind: int, payload: Any) -> None:
        """A piece has its answer. Told again after an interrupt, perhaps."""
        size = len(payload) if kind >= 0 else 0
        if piece.arrived is None:
            # No call in between, so no interrupt: all of it or nothing.
            self._bytes += size - piece.size
            piece.size = size
            piece.arrived = (kind, payload)
        if not self._ordered:
            self._arrived.append(piece)
        self._tell()

    def _tell(self) -> None:
        """Have those who wait look again."""
        self.answer = True
        self.engine.channel.wake(self)

    # ---- consuming; by any number of threads

    def next(self, timeout: float | None = None) -> tuple[bool, Any] | None:
        """The next outcome; None if there is none within `timeout` seconds.

        Raises:
            StopIteration: there are no more.
            Exception: what the input raised, where it ended.
        """
        if self._decoded and (outcome := self._take()) is not None:
            return outcome
        deadline = None if timeout is None else monotonic() + timeout
        left = timeout
        is_late = False
        while True:
            self.pull()
            outcome = self._take()
            if outcome is not None:
                return outcome
            if self.is_exhausted and not self._pieces:
                self._end()
            if self.answer is not None:  # something came after the look above
                self.answer = None
                continue
            if is_late:
                return None
            step = FULL_RING_STEP if self._made is not None else STEP
            self.engine.step(self, step if left is None else min(left, step))
            if self.engine.is_finished:
                self.abandon(self.engine.end_error())
                outcome = self._take()
                if outcome is not None:
                    return outcome
                self._pieces = 0  # nothing can come any more
            if deadline is not None:
                left = max(0.0, deadline - monotonic())
                is_late = left <= 0

    def _take(self) -> tuple[bool, Any] | None:
        """The next outcome that is here, or None."""
        queue = self._outstanding if self._ordered else self._arrived
        while queue:
            try:
                piece = queue[0]
            except IndexError:  # taken by another thread
                return None
            if piece.arrived is None:
                return None
            outcome = None if piece.is_consumed else self._take_from(piece)
            if outcome is not None:
                return outcome
            self._consume(piece)
        return None

    def _take_from(self, piece: Piece) -> tuple[bool, Any] | None:
        outcomes = self._decoded.get(piece)
        if outcomes is None:
            # Another thread may decode it, too: the first one's outcomes are taken.
            outcomes = self._decoded.setdefault(piece, deque(piece.outcomes()))
            if piece.is_consumed:  # it was, before the look above
                return None
        try:
            outcome = outcomes.popleft()
        except IndexError:
            return None
        if not outcomes:
            self._consume(piece)
        return outcome

    def _consume(self, piece: Piece) -> None:
        """Let go of a piece, all of whose outcomes were taken; it may stand in the queue twice."""
        queue = self._outstanding if self._ordered else self._arrived
        with self.engine.lock:
            if not piece.is_consumed:
                # No call in between, so no interrupt: all of it or nothing.
                self._pieces -= 1
                self._bytes -= piece.size
                piece.is_consumed = True
            if queue and queue[0] is piece:
                queue.popleft()
            self._decoded.pop(piece, None)

    def _end(self) -> NoReturn:
        if self._own is not None:
            self.engine.functions.free(self._own)
        error, self._input_error = self._input_error, None
        if error is not None:
            raise error
        raise StopIteration from None


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
