"""A map call: cut into chunks late, sent a few at a time, put together again.

The input is cut by slicing, so a range stays a range and a list is not copied item by
item; a chunk is pickled only when the ring has room for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from procession._codec import messages
from procession._codec.functions import Sent
from procession._codec.objects import dumps, dumps_by_value
from procession._engine.chunking import ChunkSizer
from procession._engine.entries import decode_outcome, function_name
from procession._engine.feeding import Fed

if TYPE_CHECKING:
    from procession._engine.engine import Engine

CHUNKS_A_WORKER = 2  # on their way: one that runs, one that waits beside it


class Chunk:
    """A part of a map call in the ledger."""

    __slots__ = ("block", "count", "job", "number", "start")

    def __init__(self, job: MapJob, start: int, count: int) -> None:
        self.job = job
        self.start = start
        self.count = count
        self.block = 0

    def arrive(self, engine: Engine, kind: int, payload: bytes | memoryview, taken: int) -> None:
        """Hand the chunk's values to its job."""
        if kind == messages.BY_VALUE:
            self.resend(engine, by_value=True)
            return
        success, value = decode_outcome(kind, payload)
        if success:
            self.job.sizer.measured(self.count, taken)
        self.job.chunk_settled(self, success, value)

    def fail(self, engine: Engine, error: BaseException) -> None:
        """The chunk gets no answer."""
        self.job.chunk_settled(self, False, error)

    def resend(self, engine: Engine, *, by_value: bool = False) -> None:
        """Send the same items once more."""
        if by_value:
            self.job.send_function_by_value()
        self.job.resend(self)

    def describe(self, item: int) -> tuple[str, int | None]:
        """The function's name and the item's index within the call."""
        return f"{function_name(self.job.function)} in a map", self.start + min(
            item, self.count - 1
        )


class MapJob:
    """One map call, and its outcome: a list of values in order, or the first error.

    Like the standard library, all chunks run to their end even when one has failed.

    Args:
        kind: ``messages.MAP`` or ``messages.STARMAP``.
        items: a range, list or tuple; not to be changed while the call runs.
        chunk_size: items a record; None to adapt it to the measured time.
    """

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
        self.settled = False
        self.success = True
        self.value: Any = [None] * len(items)
        self.sizer = ChunkSizer(engine.workers, chunk_size)
        self.callback = callback
        self.error_callback = error_callback
        self._kind = kind
        self._items = items
        self._next = 0  # the first item not sent yet
        self._settled_items = 0
        self._on_the_way: set[Chunk] = set()
        self._again: list[Chunk] = []
        self._paused = False
        self._own: Sent | None = None  # a function published for this call alone
        self._encoded: tuple[Chunk, Sent, bytes] | None = None  # found no room

    def feed(self) -> Fed:
        """Send the next chunk, if the ring has room and not enough are on their way."""
        if self._encoded is None:
            if not self._again:
                if self._next >= len(self._items):
                    return Fed.DONE
                if len(self._on_the_way) >= CHUNKS_A_WORKER * self.engine.workers:
                    self._paused = True
                    return Fed.PAUSED
            if not self._encode():
                return Fed.MORE
        assert self._encoded is not None
        chunk, sent, payload = self._encoded
        block = self.engine.channel.submit(
            chunk.number, self._kind, sent.number, sent.code, payload
        )
        if block < 0:
            return Fed.FULL
        chunk.block = block
        self._encoded = None
        return Fed.MORE

    def _encode(self) -> bool:
        """Cut and pickle the next chunk; a chunk that can not be pickled has failed."""
        if self._again:
            chunk = self._again.pop()
        else:
            count = self.sizer.next(len(self._items) - self._next)
            chunk = Chunk(self, self._next, count)
            self._next += count
            self.engine.ledger.enter(chunk)
        self._on_the_way.add(chunk)
        try:
            sent = self._function_as_sent()
            payload = dumps(self._items[chunk.start : chunk.start + chunk.count])
        except Exception as error:
            self.engine.ledger.open.pop(chunk.number, None)
            self.chunk_settled(chunk, False, error)
            return False
        self._encoded = chunk, sent, payload
        return True

    def _function_as_sent(self) -> Sent:
        if self._own is not None:
            return self._own
        sent = self.engine.function_as_sent(self.function)
        if sent is None:
            self._own = sent = self.engine.functions.publish_content(dumps(self.function))
        return sent

    def send_function_by_value(self) -> None:
        """The workers do not know this function by its name."""
        if self._own is None:
            content = dumps_by_value(self.function)
            self._own = self.engine.functions.publish_content(content)

    def resend(self, chunk: Chunk) -> None:
        """Send a chunk once more that was certainly not run."""
        self.engine.ledger.open[chunk.number] = chunk
        self._again.append(chunk)
        self._come_back()

    def _come_back(self) -> None:
        self._paused = False
        if self not in self.engine.feeder.sources:
            self.engine.feeder.sources.append(self)

    def chunk_settled(self, chunk: Chunk, success: bool, value: Any) -> None:
        """A chunk has its outcome: a list of values, or an error."""
        self._on_the_way.discard(chunk)
        self._settled_items += chunk.count
        if success and self.success:
            self.value[chunk.start : chunk.start + chunk.count] = value
        elif not success and self.success:
            self.success = False
            self.value = value
        if self._settled_items >= len(self._items):
            self._settle()
        elif self._paused:
            self._come_back()

    def abandon(self, error: BaseException) -> None:
        """No further chunk will be sent; what has no outcome yet fails with ``error``."""
        left = len(self._items) - self._next
        self._next = len(self._items)
        if self._encoded is not None:
            self._encoded = None
        if left and not self.settled:
            self._settled_items += left
            if self.success:
                self.success = False
                self.value = error
            if self._settled_items >= len(self._items):
                self._settle()

    def _settle(self) -> None:
        engine = self.engine
        self._items = ()
        if self._own is not None:
            engine.channel.free(self._own.code)
        self.settled = True
        callback = self.callback if self.success else self.error_callback
        if callback is not None:
            engine.call_back(callback, self.value)
        engine.unattended.discard(self)
