"""A map call: its results are put together again, in order.

Results are unpickled by the thread that waits for them, while the workers are at the next ones.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from procession._engine.batches import Batch
from procession._engine.chunking import LARGEST, PIECES_A_WORKER
from procession._engine.entries import CANCELLED, FAILURE, function_name
from procession._engine.jobs import Job
from procession._engine.options import Options
from procession._engine.pieces import Piece
from procession._engine.sources import Pulled, Source

if TYPE_CHECKING:
    from procession._engine.engine import Engine


class MapJob(Job):
    """One map call, and its outcome: a list of values in order, or an error.

    Like the standard library's, all pieces run to their end even when one has failed.
    """

    WORD = "a map"

    attend = True

    def __init__(
        self,
        engine: Engine,
        function: Callable[..., Any],
        source: Source,
        chunk_size: int | None,
        options: Options,
        callback: Callable[[list[Any]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> None:
        stops = options.errors == "raise" and not options.retries
        target = engine.map_ns
        pace = engine.pace_of(function)
        super().__init__(
            engine, function, source, chunk_size, options, target=target, stops=stops, pace=pace
        )
        self.answer: bool | None = None
        self.callback = callback
        self.error_callback = error_callback
        # An iterator of the user's is pulled by the thread that called, and no other.
        self._puller = threading.get_ident() if isinstance(source, Pulled) else None
        self._arrived: deque[Batch] = deque()
        self._absorbed: set[int] = set()
        # What an iterable says of its length is but a hint.
        known = source.total if self._puller is None else None
        self._values: list[Any] = [None] * (known or 0)
        self._failures: dict[int, BaseException] = {}
        self._first_error: BaseException | None = None
        if source.is_exhausted:
            self.answer = True

    @property
    def has_callback(self) -> bool:
        """Whether somebody is to be called with the outcome."""
        return self.callback is not None or self.error_callback is not None

    # ---- sending

    def feed(self) -> None:
        """Send what can be sent now."""
        if self._puller is None or self._puller == threading.get_ident():
            super().feed()

    def _room(self) -> int:
        options = self.options
        out = self._on_the_way
        limit = options.max_in_flight
        if len(out) >= PIECES_A_WORKER * self.engine.workers and limit is None:
            return 0
        bound = options.max_bytes
        if bound is not None and out and sum(piece.size for piece in list(out)) >= bound:
            return 0
        if limit is None:
            return LARGEST
        under_way = sum(piece.end - piece.reached for piece in list(out))
        return limit - under_way if len(out) < PIECES_A_WORKER * self.engine.workers else 0

    def _make(self, room: int) -> Piece | None:
        piece = super()._make(room)
        # At once: with the last piece on its way, nobody might ask for another one.
        if isinstance(self._source, Pulled) and self._source.error is not None:
            raise self._source.error
        return piece

    def abandon(self, error: BaseException | None = None) -> None:
        """Nobody wants the outcome, or nothing can be run any more: send no further piece.

        With an error, what is not sent fails with it.
        """
        with self.engine.lock:
            self._is_given_up = True
            made = self._made
            unsent = made is not None and made.block is None
            if error is not None and (unsent or not self._source.is_exhausted):
                nobody = Piece(self, -1, 0, 0)
                self._arrived.append(Batch(nobody, 0, 1, (FAILURE, error, 0), frozenset()))
            if unsent:
                self._on_the_way.discard(made)
                self._made = None
            self._source.end()
            self._settle()

    def cancel(self) -> None:
        """Nobody wants the outcome: what is not begun is not run, and the call is over."""
        with self.engine.lock:
            if self.answer is None:  # first: with what is not run, all of it may be over
                nobody = Piece(self, -1, 0, 0)
                self._arrived.append(Batch(nobody, 0, 1, (CANCELLED, None, 0), frozenset()))
        try:
            self.forget()
        finally:  # closing the input may fail
            with self.engine.lock:
                if self.answer is None:
                    self._finish()

    # ---- arriving; under the engine's lock

    def _keep(self, batch: Batch, piece: Piece) -> bool:
        if piece.reached > batch.offset:
            return False
        self._arrived += (batch,)
        return True

    def _settle(self) -> None:
        """If nothing is left to send and nothing on its way, be complete."""
        if self.answer is None and self.all_sent and not self._on_the_way:
            self._finish()

    def _finish(self) -> None:
        if self.has_callback:
            self.engine.attendant.call_back(self)
        else:
            self.complete()

    def complete(self) -> None:
        """All is here; who waits may go."""
        self.give_back()
        if self._sizer.ns_an_item:
            self.engine.note_pace(self.function, self._sizer.ns_an_item)
        self.engine.with_callbacks.discard(self)
        self.answer = True
        if self.bar is not None:
            self.bar.tell(not self.failed and not self.is_closed)
        self.engine.channel.wake(self)

    # ---- the outcome; by the threads that wait

    def absorb(self) -> None:
        """Unpickle what has arrived."""
        arrived = self._arrived
        while arrived:
            try:
                batch = arrived[0]
            except IndexError:  # taken by another thread
                return
            values, failures = batch.decode()
            self._put(batch, values, failures)
            if arrived and arrived[0] is batch:
                arrived.popleft()

    def _put(self, batch: Batch, values: list[Any], failures: dict[int, BaseException]) -> None:
        start, count = batch.start, batch.count
        if start in self._absorbed:
            return
        if failures:
            is_over = batch.is_over
            for place, error in failures.items():
                if self._first_error is None:
                    self._first_error = error
                self._failures[-1 if is_over else start + place] = error
        if start < 0:
            return
        mine = self._values
        if len(mine) < start + count:
            mine.extend([None] * (start + count - len(mine)))
        if batch.skipped:
            with self.engine.lock:  # the list may be the caller's by now
                if not batch.is_absorbed:
                    for place, value in enumerate(values):
                        if place not in batch.skipped:
                            mine[start + place] = value
                    batch.is_absorbed = True
            return  # what it lacks comes later, under the same number: not to be known as here
        # No call between the question and the answer: no other thread gets in.
        if start not in self._absorbed:
            mine[start : start + len(values)] = values
            self._absorbed.add(start)

    def outcome(self) -> tuple[bool, Any]:
        """``(True, list of values)`` or ``(False, exception)``; when there is an answer."""
        self.absorb()
        failures, errors = self._failures, self.options.errors
        if not failures:
            return True, self._values
        if errors == "raise" or any(place < 0 for place in failures):
            return False, failures.get(-1) or self._first_error
        ordered = sorted(failures)
        if errors == "return":
            for place in ordered:
                self._values[place] = failures[place]
            return True, self._values
        if errors == "skip":
            values = [one for at, one in enumerate(self._values) if at not in failures]
            return True, values
        return False, group(self, [failures[place] for place in ordered], len(self._values))

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


def group(job: Job, errors: list[BaseException], count: int) -> BaseException:
    """All errors of a call together."""
    name = job.options.name or f"{function_name(job.function)} in {job.WORD}"
    return BaseExceptionGroup(f"{len(errors)} of {count} items failed ({name})", errors)
