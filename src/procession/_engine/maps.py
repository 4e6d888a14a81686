"""A map call: cut into chunks late, sent a few at a time, put together again.

The input is cut by slicing, so a range stays a range and a list is not copied item by item; a
chunk is pickled only when it can be sent. Results are unpickled by the thread that waits for
them, while the workers are at the next ones.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from procession._codec import messages
from procession._codec.functions import Sent
from procession._codec.objects import dumps_items, loads_items
from procession._engine.chunking import ChunkSizer
from procession._engine.entries import FAILURE, Record, decode, function_name
from procession._engine.turn import Turn

if TYPE_CHECKING:
    from procession._engine.engine import Engine

CHUNKS_A_WORKER = 2  # on their way: one that runs, one that waits beside it


class Chunk(Record):
    """A part of a map call."""

    __slots__ = ("count", "failure", "job", "start")

    def __init__(self, job: MapJob, start: int, count: int) -> None:
        self.job = job
        self.function = job.function
        self.start = start
        self.count = count
        self.failure: Exception | None = None  # why it could not be pickled
        self.block = None
        self.answer = None
        self.attend = True

    def arrive(self, engine: Engine, kind: int, payload: Any, taken: int) -> None:
        """Hand the chunk's values to its job, once."""
        engine.free_payload(self)
        self.job.chunk_arrived(self, kind, payload, taken)

    def describe(self, item: int) -> tuple[str, int | None]:
        """The function's name, and the item's index within the whole call."""
        place = self.start + max(0, min(item, self.count - 1))
        return f"{function_name(self.job.function)} in a map", place


class MapJob:
    """One map call, and its outcome: a list of values in order, or the first error.

    Like the standard library's, all chunks run to their end even when one has failed.

    Args:
        kind: ``messages.MAP`` or ``messages.STARMAP``.
        items: a range, list or tuple; not to be changed while the call runs.
        chunk_size: items a record; None to adapt it to the measured time.
    """

    attend = True

    def __init__(
        self,
        engine: Engine,
        kind: int,
        function: Callable[..., Any],
        items: Sequence[Any],
        chunk_size: int | None,
        callback: Callable[[list[Any]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> None:
        self.engine = engine
        self.function = function
        self.answer: bool | None = None
        self.callback = callback
        self.error_callback = error_callback
        self._kind = kind
        self._items = items
        self._total = len(items)
        self._sizer = ChunkSizer(engine.workers, chunk_size)
        self._limit = CHUNKS_A_WORKER * engine.workers
        self._next = 0  # the first item not cut yet
        self._made: Chunk | None = None  # cut and pickled, not sent yet
        self._on_the_way: set[Chunk] = set()
        self._own: Sent | None = None  # a function published for this call alone
        self._arrived: deque[tuple[Chunk, int, Any]] = deque()
        self._values: list[Any] = [None] * self._total
        self._absorbed: set[int] = set()  # the first items of the chunks that are in it
        self._error: BaseException | None = None
        self._turn = Turn()
        if not items:
            self.complete()

    @property
    def has_callback(self) -> bool:
        """Whether somebody is to be called with the outcome."""
        return self.callback is not None or self.error_callback is not None

    # ---- sending; by one thread at a time

    @property
    def all_sent(self) -> bool:
        """Whether nothing is left to cut or to send."""
        return self._made is None and self._next >= self._total

    def feed(self) -> None:
        """Send what can be sent now; by this thread, or by the one that is at it."""
        self._turn.take(self._feed)

    def _feed(self) -> None:
        while self._feed_one():
            pass
        self._settle()  # an interrupt may have kept somebody from that

    def _feed_one(self) -> bool:
        """Send the next chunk, if not enough are on their way and the ring has room."""
        chunk = self._made
        if chunk is None:
            if self._next >= self._total or len(self._on_the_way) >= self._limit:
                return False
            chunk = self._make()
        if chunk.block is None:  # else it was sent, and an interrupt came in behind that
            self._on_the_way.add(chunk)
            if chunk.failure is None and not self._send(chunk):
                return False
            if chunk.failure is not None:
                with self.engine.lock:
                    chunk.arrive(self.engine, FAILURE, chunk.failure, 0)
        self._made = None
        return True

    def _send(self, chunk: Chunk) -> bool:
        try:
            return self.engine.send(chunk)
        except MemoryError as error:
            chunk.failure = error
            return True

    def _make(self) -> Chunk:
        """Cut and pickle the next chunk."""
        start = self._next
        count = self._sizer.next(self._total - start)
        chunk = Chunk(self, start, count)
        chunk.number = self.engine.ledger.next_number()
        chunk.kind = self._kind
        try:
            chunk.sent = self._function_as_sent()
            chunk.payload = dumps_items(self._items[start : start + count])
        except Exception as error:
            chunk.failure = error
        with self.engine.lock:
            if self._next == start:  # not abandoned meanwhile
                # Both or neither, whatever interrupts: there is no call in between.
                self._made, self._next = chunk, start + count
        return chunk

    def _function_as_sent(self) -> Sent:
        functions = self.engine.functions
        # Asked for each time: what a lambda captured may change meanwhile.
        sent = self._own or functions.find(self.function) or functions.publish(self.function)
        if sent is None:
            self._own = sent = functions.publish_for_one(self.function)
        return sent

    def abandon(self, error: BaseException | None = None) -> None:
        """Nobody wants the outcome, or nothing can be run any more: send no further chunk.

        With an error, what is not sent fails with it.
        """
        with self.engine.lock:
            made = self._made
            unsent = made is not None and made.block is None
            if error is not None and (unsent or self._next < self._total):
                self._arrived.append((Chunk(self, -1, 0), FAILURE, error))
            self._next = self._total
            if unsent:
                self._on_the_way.discard(made)
                self._made = None
            self._settle()

    # ---- arriving; under the engine's lock

    def chunk_arrived(self, chunk: Chunk, kind: int, payload: Any, taken: int) -> None:
        """A chunk has its answer; it is unpickled later, by ``absorb``.

        Told again after an interrupt: perhaps it is kept twice then, which does no harm.
        """
        if chunk.answer is None:
            if kind == messages.VALUE:
                self._sizer.measured(chunk.count, taken)
            self._arrived.append((chunk, kind, payload))
            chunk.answer = kind
        self._on_the_way.discard(chunk)
        self._settle()
        if not self.all_sent:
            # The supervisor may have collected it, which feeds nobody: those who do sleep on.
            self.engine.channel.wake(self)
            self.engine.channel.wake(self.engine.attendant)

    def _settle(self) -> None:
        """If nothing is left to send and nothing on its way, be complete."""
        if self.answer is None and self.all_sent and not self._on_the_way:
            if self.has_callback:
                self.engine.attendant.call_back(self)
            else:
                self.complete()

    def complete(self) -> None:
        """All is here; who waits may go."""
        if self._own is not None:
            self.engine.functions.free(self._own)
        self._items = ()
        self.engine.with_callbacks.discard(self)
        self.answer = True
        self.engine.channel.wake(self)

    # ---- the outcome; by the threads that wait

    def absorb(self) -> None:
        """Unpickle what has arrived."""
        while self._arrived:
            try:
                arrived = self._arrived[0]
            except IndexError:  # taken by another thread
                return
            chunk, kind, payload = arrived
            # Two threads may be at the same one, for none waits for another: the first one's
            # values stay. It leaves the queue when they are there.
            if chunk.start not in self._absorbed:
                success, value = decode(kind, payload, chunk.describe, loads_items)
                if not success:
                    if self._error is None:
                        self._error = value
                # No call between the question and the answer: no other thread gets in.
                elif chunk.start not in self._absorbed:
                    self._values[chunk.start : chunk.start + chunk.count] = value
                    self._absorbed.add(chunk.start)
            if self._arrived and self._arrived[0] is arrived:
                self._arrived.popleft()

    def outcome(self) -> tuple[bool, Any]:
        """``(True, list of values)`` or ``(False, exception)``; when there is an answer."""
        self.absorb()
        if self._error is not None:
            return False, self._error
        return True, self._values

    def call_back(self, engine: Engine) -> None:
        """Run the callback that fits the outcome, then be complete. The attendant's."""
        if self.answer is not None:  # told twice
            return
        try:
            success, value = self.outcome()
        except BaseException as error:  # unpickling exits: nobody else is here to get that
            success, value = False, error
        callback = self.callback if success else self.error_callback
        try:
            if callback is not None:
                callback(value)
        finally:
            self.complete()

    def skip_callback(self, engine: Engine) -> None:
        """Be complete without it."""
        self.complete()
