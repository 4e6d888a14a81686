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

from procession import _core
from procession._codec import messages
from procession._codec.functions import Sent
from procession._codec.objects import dumps, dumps_items, loads, loads_items
from procession._engine.attendant import FULL_RING_STEP, STEP
from procession._engine.ending import completed
from procession._engine.entries import (
    DEATH,
    FAILURE,
    Answer,
    Record,
    decode,
    function_name,
)
from procession._engine.turn import Turn

if TYPE_CHECKING:
    from procession._engine.engine import Engine

PIECES_A_WORKER = 64
"""Pieces (single items, or chunks) on their way or not yet consumed, for each worker, at most."""

FIRST_PIECES_A_WORKER = 8
"""The same at first: more only as results are consumed, when it is known how large they are."""

BYTES_AHEAD = 64 << 20
"""Bytes of pickled arguments and (estimated) results on their way or not yet consumed."""


class Piece(Record):
    """One item of an imap call, or a chunk of them with an outcome for each."""

    __slots__ = ("count", "failure", "is_consumed", "is_listed", "job", "size", "start")

    answer: Answer | None

    def __init__(self, job: StreamJob, start: int, count: int) -> None:
        self.job = job
        self.function = job.function
        self.start = start
        self.count = count
        self.size = 0  # bytes of its arguments
        self.is_listed = False  # in the queue of the ordered
        self.is_consumed = False
        self.failure: Exception | None = None  # why it could not be pickled
        self.block = None
        self.answer = None

    def arrive(self, engine: Engine, kind: int, payload: Any, taken: int) -> None:
        """Keep the answer until it is consumed; what is told again after an interrupt is known."""
        engine.free_payload(self)
        self.job.piece_arrived(self, (kind, payload, taken))

    def describe(self, item: int) -> tuple[str, int | None]:
        """The function's name, and the item's index within the whole call."""
        return f"{function_name(self.job.function)} in an imap", self.start + item

    def outcomes(self) -> list[tuple[bool, Any]]:
        """The outcome of each item. Runs code of the user's."""
        assert self.answer is not None
        kind, payload, _ = self.answer
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
        if self.kind == messages.EACH:
            success, value = decode(kind, payload, self.describe, loads_items)
            if success:
                return [(True, one) for one in value]
        else:
            success, value = decode(kind, payload, self.describe)
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
        self.is_exhausted = False  # nothing more is to be pulled
        self._input = iter(items)
        self._chunk_size = chunk_size
        self._ordered = ordered
        self._taken: list[Any] = []  # pulled, not pickled yet
        self._pulled = 0
        self._made: Piece | None = None  # pickled, not sent yet
        # What is consumed next, from the left. Ordered: all that is outstanding, answered or not;
        # else what is answered, put there by the core.
        self._queue: deque[Piece] = deque()
        self._pieces = 0  # made and not consumed
        self._consumed = 0
        self._bytes = 0  # of the arguments of those made and not consumed
        self._result_size = 0  # bytes: the largest of late
        self._decoded: dict[Piece, deque[tuple[bool, Any]]] = {}  # what is left of chunks begun
        self._input_error: BaseException | None = None
        self._own: Sent | None = None  # a function published for this call alone
        self._limit: int | None = PIECES_A_WORKER * engine.workers
        # Pulled are many at a time, when half of what may be outstanding is consumed.
        self._refill_at = self._limit // 2
        self._turn = Turn()

    @property
    def answer(self) -> bool | None:
        """True while there is something to consume; what the core asks for who waits."""
        queue = self._queue
        try:
            return True if queue and queue[0].answer is not None else None
        except IndexError:  # taken by another thread
            return None

    # ---- sending; by one thread at a time

    def lift_limit(self) -> None:
        """Look ahead without bounds from now on: the pool is closing, all of it is to be done."""
        self._limit = None

    def _room(self) -> int:
        """How many pieces may be made before it is to be asked again."""
        pieces, workers = self._pieces, self.engine.workers
        if self._limit is None or pieces < 2 * workers:
            return 1
        ahead = self._bytes + pieces * self._result_size
        if ahead >= BYTES_AHEAD:
            return 0
        few = 1 if ahead >= BYTES_AHEAD // 8 else 8  # large ones are looked at one by one
        known = FIRST_PIECES_A_WORKER * workers + 2 * self._consumed
        return min(few, self._limit - pieces, known - pieces)

    def pull(self) -> None:
        """Pull and send what there is room for; by this thread, or by the one that is at it."""
        self._turn.take(self._pull)

    def _pull(self) -> None:
        room = 0
        while True:
            if self._made is None:
                if room <= 0:
                    room = self._room()  # may be more by now: others consume
                if room <= 0 or self.is_exhausted:
                    return
                room -= 1
            piece = self._made or self._make()
            if piece is None:
                return
            if piece.block is None and piece.answer is None:  # else an interrupt came behind that
                if self._ordered and not piece.is_listed:
                    self._queue.append(piece)  # twice after an interrupt: see _consume
                    piece.is_listed = True
                if piece.failure is None and not self._send(piece):
                    return
                if piece.failure is not None:
                    with self.engine.lock:
                        piece.arrive(self.engine, FAILURE, piece.failure, 0)
            self._made = None

    def _send(self, piece: Piece) -> bool:
        engine, sent = self.engine, piece.sent
        try:
            if piece.attend is True:
                return engine.send(piece)
            return engine.channel.submit(
                piece, engine.open, piece.number, piece.kind, sent.number, sent.code, piece.payload
            )
        except MemoryError as error:
            piece.failure = error
            return True

    def _make(self) -> Piece | None:
        """The next piece of the input, pickled; None at its end."""
        items, size = self._taken, self._chunk_size
        if len(items) < size and not self._fill(items, size):
            return None
        piece = Piece(self, self._pulled, len(items))
        piece.number = self.engine.ledger.next_number()
        try:
            piece.sent = self.engine.functions.find(self.function) or self._function_as_sent()
            if size == 1:
                piece.kind = messages.CALL_ONE
                piece.payload = dumps(items[0])
            else:
                piece.kind = messages.EACH
                piece.payload = dumps_items(items)
            piece.size = len(piece.payload)
        except Exception as error:
            piece.failure = error
            piece.kind = messages.EACH
        if piece.size > _core.INLINE_LIMIT:
            piece.attend = True  # its block is to be freed
        else:
            piece.attend = False if self._ordered else self._queue
        with self.engine.lock:
            if self.is_exhausted:  # abandoned meanwhile
                return None
            # No call in between, so no interrupt: all of it or nothing.
            self._made = piece
            self._taken = []
            self._pulled += piece.count
            self._pieces += 1
            self._bytes += piece.size
        return piece

    def _fill(self, items: list[Any], size: int) -> bool:
        """Pull so many items of the input; False if there are none."""
        try:
            # An interrupt behind it finds them in the list: they are not lost.
            items.extend(islice(self._input, size - len(items)))
        except BaseException as error:
            if not isinstance(error, Exception) and _is_main_thread():
                raise  # an interrupt, most likely
            # As in the standard library, what was pulled of an unfinished chunk goes with it.
            self._input_error = error
            items.clear()
        if not items:
            self._exhaust()
        return bool(items)

    def _exhaust(self) -> None:
        self.is_exhausted = True
        self.engine.streams.discard(self)
        self.engine.channel.wake(self)
        self.engine.channel.wake(self.engine.attendant)  # for whom closing may hang on this

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
                    self._queue.append(made)
                made.arrive(self.engine, FAILURE, error, 0)
                self._made = None
            self._exhaust()

    # ---- arriving; under the engine's lock, but for what the core answers by itself

    def piece_arrived(self, piece: Piece, answer: Answer) -> None:
        """A piece has its answer. Told again after an interrupt, perhaps."""
        if piece.answer is None:
            piece.answer = answer
        if not self._ordered:
            self._queue.append(piece)  # twice after an interrupt: see _consume
        self.engine.channel.wake(self)

    # ---- consuming; by any number of threads

    def next(self, timeout: float | None = None) -> tuple[bool, Any] | None:
        """The next outcome; None if there is none within `timeout` seconds.

        Raises:
            StopIteration: there are no more.
            Exception: what the input raised, where it ended.
        """
        if self._pieces <= self._refill_at:
            self.pull()
        return self._take() or self._await_next(timeout)

    def _await_next(self, timeout: float | None) -> tuple[bool, Any] | None:
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
        queue = self._queue
        while queue:
            try:
                piece = queue[0]
            except IndexError:  # taken by another thread
                return None
            answer = piece.answer
            if answer is None:
                return None
            if piece.kind == messages.CALL_ONE:  # the hot path
                kind, payload, _ = answer
                try:
                    plain = kind == messages.VALUE
                    outcome = (True, loads(payload)) if plain else piece.outcomes()[0]
                except Exception:
                    outcome = piece.outcomes()[0]  # says what is wrong
                # Another thread may have decoded it, too: the first to consume it has it.
                if self._consume(piece):
                    return outcome
            else:
                of_chunk = None if piece.is_consumed else self._take_from(piece)
                if of_chunk is not None:
                    return of_chunk
                self._consume(piece)
        return None

    def _take_from(self, piece: Piece) -> tuple[bool, Any] | None:
        """The next outcome of a chunk, or None."""
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

    def _consume(self, piece: Piece) -> bool:
        """Let go of a piece; whether it was this call that did. It may be in the queue twice."""
        queue = self._queue
        with self.engine.lock:
            ours = not piece.is_consumed
            if ours:
                assert piece.answer is not None
                kind, payload, _ = piece.answer
                size = len(payload) if kind >= 0 else 0
                # No call in between, so no interrupt: all of it or nothing.
                self._pieces -= 1
                self._consumed += 1
                self._bytes -= piece.size
                late = self._result_size
                self._result_size = size if size >= late else late - (late >> 3)
                piece.is_consumed = True
            if queue and queue[0] is piece:
                queue.popleft()
            if self._decoded:
                self._decoded.pop(piece, None)
            if self.is_exhausted and not self._pieces:
                self.engine.channel.wake(self)  # other threads wait for one that does not come
        return ours

    def _end(self) -> NoReturn:
        if self._own is not None:
            self.engine.functions.free(self._own)
        error, self._input_error = self._input_error, None
        if error is not None:
            raise completed(error)
        raise StopIteration from None


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
