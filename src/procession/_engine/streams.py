"""An imap call: pulled from its input as its results are consumed.

At any moment only so many items are on their way or waiting to be consumed (by number and by
bytes), however long the input. Each item has its own outcome: an error or a death is raised when
its turn comes, and the iteration can go on behind it. Items travel one by one until it is known
how long they take; those that take next to no time travel several at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError
from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn

from procession._engine import lookahead
from procession._engine.attendant import FULL_RING_STEP, STEP
from procession._engine.batches import Batch
from procession._engine.chunking import LARGEST, PIECES_A_WORKER
from procession._engine.ending import completed
from procession._engine.entries import FAILURE, Answer
from procession._engine.fetching import Fetcher
from procession._engine.holding import holds, let_go
from procession._engine.jobs import Job
from procession._engine.maps import group
from procession._engine.options import Options
from procession._engine.pieces import Piece
from procession._engine.sources import Input

if TYPE_CHECKING:
    from procession._engine.engine import Engine


class StreamJob(Job):
    """One imap or imap_unordered call.

    Args:
        source: the items; pulled by one thread at a time.
        chunk_size: items a record; None for as few as the measured time allows.
        options: ``ordered``: outcomes in the order of the input, else as they come.
    """

    WORD = "an imap"

    attend = True

    ends_when_dropped = False
    """Whether it is closed with its iterator even if nothing was asked for."""

    def __init__(
        self,
        engine: Engine,
        function: Callable[..., Any],
        source: Input,
        chunk_size: int | None,
        options: Options,
    ) -> None:
        super().__init__(
            engine, function, source, chunk_size, options, target=engine.stream_ns, stops=False
        )
        self._input = source
        self._fetcher = Fetcher() if source.has_thread else None
        if self._is_one_by_one:
            source.keep = engine.packer.at_once
        self._ordered = options.ordered
        self._bounds = lookahead.Bounds(chunk_size, options.max_in_flight, options.max_bytes)
        self._limit_lifted = False
        self._waiting: list[None] = []  # one for each thread that waits for an outcome
        # What is consumed next. Batches as they came, or by the index of their first item.
        self._queue: deque[Batch] = deque()
        self._by_start: dict[int, tuple[Batch, int, int, int]] = {}
        self._next = 0  # ordered: the index of the item that is next to become ready
        self._ready: deque[tuple[bool, Any]] = deque()  # decoded
        self._moved = 0  # items that were made ready, or will never be
        self._bytes_sent = 0  # of the arguments on their way
        self._bytes_here = 0  # of the results that are not decoded yet
        self._result_size = 0  # bytes an item: the largest of late
        self._failures: list[BaseException] = []  # for the group at the end
        self._ended = False

    @property
    def answer(self) -> bool | None:
        """True while there is something to consume; what the core asks for who waits."""
        if self._ready or self._queue or self._next in self._by_start:
            return True
        return None

    @property
    def is_exhausted(self) -> bool:
        """Whether nothing more is to be sent."""
        return self.is_closed or self.all_sent

    # ---- sending; by one thread at a time

    def start(self) -> None:
        """Send the first items, or have that begun."""
        if self._fetcher is None:
            self.feed()
        else:
            self._fetcher.start(self)

    def feed(self) -> None:
        """Send what is here, as far as may be ahead; have the input's thread pull more."""
        fetcher = self._fetcher
        if fetcher is None or self._made is not None or self._input.holds:
            super().feed()
        if fetcher is not None and self._is_worth_waking():
            fetcher.wake()

    def fetch(self) -> None:
        """Fetch and send as much as may be ahead. By the input's thread."""
        moved = True
        while moved and not self.is_exhausted:
            before = self._source.taken
            moved = not self.waits_for_room and self._pull()
            if not self.is_exhausted:
                super().feed()
            moved = moved or self._source.taken > before
        if self.is_exhausted:
            self._exhaust()  # also where the end came while there was no room for more

    def _pull(self) -> bool:
        room = self._room()
        return room > 0 and self._input.fetch(self._next_size(room), self._is_busy)

    def _is_busy(self) -> bool:
        """Whether what is sent now would wait, and somebody is there who looks again when that is
        answered: who consumes, or the attendant while the pool closes."""
        if not self._waiting and not (self._limit_lifted and self.engine.attendant.is_idle):
            return False
        return len(self._on_the_way) >= PIECES_A_WORKER * self.engine.workers

    def _is_worth_waking(self) -> bool:
        if self.waits_for_room or self.is_closed or self._limit_lifted:
            return True
        return lookahead.is_worth_waking(self._bounds, self._position())

    @property
    def waits_for_room(self) -> bool:
        """Whether there was no room for the next piece, in the task ring or in the arena."""
        return self._made is not None or self.is_short

    def lift_limit(self) -> None:
        """Look ahead without bounds from now on: the pool is closing, all of it is to be done."""
        self._limit_lifted = True

    def _ahead(self) -> int:
        """Items cut and not consumed."""
        return self._source.taken - self._moved + len(self._ready)

    def _room(self) -> int:
        return LARGEST if self._limit_lifted else lookahead.room(self._bounds, self._position())

    def _position(self) -> lookahead.Position:
        size = self._bytes_sent + self._bytes_here + self._sent_items() * self._result_size
        pace, engine = self._sizer.ns_an_item, self.engine
        taken, ahead = self._source.taken, self._ahead()
        return lookahead.Position(engine.workers, engine.reach, taken, ahead, size, pace)

    def _pulled(self) -> int:
        """Items of the input that were taken."""
        return self._source.taken

    def _sent_items(self) -> int:
        return max(0, self._source.taken - self.settled)

    def _next_size(self, room: int) -> int:
        if self.engine.counts_tasks:
            room = min(room, self._bounds.chunk or 1)
        return super()._next_size(room)

    def _make(self, room: int) -> Piece | None:
        piece = super()._make(room)
        if piece is not None:
            self._bytes_sent += piece.size
        elif self._source.is_exhausted:
            self._exhaust()
        return piece

    def _exhaust(self) -> None:
        engine = self.engine
        engine.streams.discard(self)
        engine.channel.wake(self)
        engine.channel.wake(engine.attendant)  # for whom closing may hang on this
        if self._fetcher is not None:
            self._fetcher.wake()

    def abandon(self, error: BaseException) -> None:
        """Nothing can be run any more: the input ends here, with this error."""
        with self.engine.lock:
            self._is_given_up = True
            if not self.all_sent and self._input.error is None:
                self._input.error = error
            made = self._made
            if made is not None and made.block is None:
                self._on_the_way.discard(made)
            self._made = None
            self._source.end()
            self._exhaust()

    def close(self) -> None:
        """Nobody consumes any more. What is not begun is not run; the input is closed."""
        if self._stop(wait=True):
            self.let_go()

    def stop(self) -> bool:
        """The first half of ``close``, which runs no code of the user's: who is in ``next`` gets
        no more. The other half is ``let_go``. False if it had come to its end before."""
        return self._stop(wait=True)

    def _stop(self, *, wait: bool) -> bool:
        if self._ended:
            return False
        self._ended = True
        if wait and self._fetcher is not None:
            self._fetcher.announce()
        self.engine.streams.discard(self)
        try:
            self.withdraw()
        finally:  # an interrupt may have come in
            self._queue.clear()
            self._by_start.clear()
            self._ready.clear()
            self.engine.channel.wake(self)
            self.engine.channel.wake(self.engine.attendant)
            if self._fetcher is not None:
                self._fetcher.wake()
        return True

    def let_go(self, *, wait: bool = True) -> None:
        """The second half of ``close``: the input is closed, and the bar. If the input has a
        thread, that closes it; it is waited for, but for what the input itself waits for."""
        try:
            if self._fetcher is None:
                super().let_go()
            else:
                self.give_back()
                if wait:
                    with let_go(*self.locks):  # it may be a signal handler that closes
                        self._fetcher.await_end(self)
        finally:  # closing the input may fail
            if self.bar is not None:
                self.bar.close(False)

    def close_input(self) -> None:
        """Close the input, of which there is no more, or no more is wanted. By its thread."""
        self._exhaust()  # who consumes may have sent the last of it
        self._input.close()

    @property
    def is_pulling(self) -> bool:
        """Whether the input's thread waits for the input."""
        return self._input.is_pulling

    def drop(self) -> None:
        """The same, without waiting for anybody: for a garbage collection."""
        if self._stop(wait=False):
            self.let_go(wait=False)

    # ---- arriving; under the engine's lock

    def _send_first(self, part: Piece) -> None:
        self._bytes_sent += part.size
        super()._send_first(part)

    def done_with(self, piece: Piece) -> None:
        size, piece.size = piece.size, 0
        self._bytes_sent -= size
        super().done_with(piece)
        if self._fetcher is not None and self.waits_for_room:
            self._fetcher.wake()

    def _settle(self) -> None:
        if not self._on_the_way and self.all_sent:
            self.engine.channel.wake(self)

    def _keep(self, batch: Batch, piece: Piece) -> bool:
        size = batch.size
        late = self._result_size
        per_item = size // max(1, batch.count)
        if batch.is_over and self.options.errors == "skip" and self._input.error is None:
            # Not to be mistaken for the end of the input.
            kind, error, _ = batch.answer
            self._input.error = error if kind == FAILURE else CancelledError()
        runs = self._runs(batch, size) if self._ordered else {}
        if piece.reached > batch.offset:
            return False
        self._result_size = per_item if per_item >= late else late - (late >> 3)
        if not self._ordered:
            self._bytes_here += size
            self._queue += (batch,)
        elif runs:
            self._bytes_here += size
            self._by_start |= runs
        return True

    def _runs(self, batch: Batch, size: int) -> dict[int, tuple[Batch, int, int, int]]:
        """What is consumed without a gap, by the index of its first item."""
        runs, place = {}, 0
        for hole in (*sorted(batch.skipped), batch.count):
            if hole > place:
                runs[batch.start + place] = (batch, place, hole, size)
                size = 0
            place = hole + 1
        return runs

    def _note(self, piece: Piece, first: int, end: int, answer: Answer) -> None:
        super()._note(piece, first, end, answer)
        self.engine.channel.wake(self)

    # ---- consuming; by any number of threads

    def next(self, timeout: float | None = None) -> tuple[bool, Any] | None:
        """The next outcome; None if there is none within `timeout` seconds.

        Raises:
            StopIteration: there are no more.
            BaseExceptionGroup: there are no more, and these failed.
            Exception: what the input raised, where it ended.
        """
        while True:
            outcome = self._take_ready() or self._await_next(timeout)
            if outcome is None or outcome[0]:
                return outcome
            asked = self._as_asked(outcome)
            if asked is not None:
                return asked

    def at_hand(self) -> tuple[bool, Any] | None:
        """The next outcome if it is decoded already, else None. Waits for nothing, and runs no code
        of the user's."""
        while (outcome := self._take_ready()) is not None:
            asked = outcome if outcome[0] else self._as_asked(outcome)
            if asked is not None:
                return asked
        return None

    def _as_asked(self, failure: tuple[bool, Any]) -> tuple[bool, Any] | None:
        """What stands for an item that failed; None if nothing does."""
        errors = self.options.errors
        if errors == "raise":
            return failure
        if errors == "return":
            return True, failure[1]
        if errors == "group":
            self._failures.append(failure[1])
        return None

    def _take_ready(self) -> tuple[bool, Any] | None:
        """The next outcome that is decoded, or None."""
        try:
            return self._ready.popleft()
        except IndexError:  # not the place to go on: what is raised there would name this one
            return None

    def _take(self) -> tuple[bool, Any] | None:
        """The next outcome that is here, or None."""
        while True:
            outcome = self._take_ready()
            if outcome is not None or not self._decode_next():
                return outcome

    def _decode_next(self) -> bool:
        """Make the next outcomes ready; False if there are none."""
        if self._ordered:
            run = self._by_start.get(self._next)
            if run is None:
                return False
            batch, first, end, size = run
        else:
            try:
                batch = self._queue[0]
            except IndexError:
                return False
            first, end, size = 0, batch.count, batch.size
        values, failures = batch.decode()
        if failures or batch.skipped:
            ready = deque(
                (False, failures[at]) if at in failures else (True, values[at])
                for at in range(first, end)
                if at not in batch.skipped
            )
        else:
            ready = deque([(True, value) for value in values[first:end]])
        count = len(ready)
        with self.engine.lock:
            if self._ready:
                return True
            # Other threads may have decoded it, too: the first one's outcomes are taken. No call
            # in between, so no interrupt: all of it or nothing.
            if self._ordered:
                if self._next == batch.start + first:
                    self._ready = ready
                    self._next += end - first
                    self._moved += count
                    self._bytes_here -= size
            elif self._queue and self._queue[0] is batch:
                self._ready = ready
                self._moved += count
                self._bytes_here -= size
                self._queue.popleft()
            if self._ordered:
                self._by_start.pop(batch.start + first, None)
        return True

    def _await_next(self, timeout: float | None) -> tuple[bool, Any] | None:
        if holds(locks := self.locks):
            with let_go(*locks):  # a signal handler waits
                return self._look_and_wait(timeout)
        return self._look_and_wait(timeout)

    def _feed_behind(self, outcome: tuple[bool, Any] | None) -> None:
        """Send what can be sent; if that is interrupted, or an item exits, the outcome, which is
        out of the books, is not lost."""
        try:
            self.feed()
        except BaseException:
            with self.engine.lock:
                if outcome is not None and not self.is_closed:
                    self._ready.appendleft(outcome)
            raise

    def _look_and_wait(self, timeout: float | None) -> tuple[bool, Any] | None:
        deadline = None if timeout is None else monotonic() + timeout
        left = timeout
        is_late = False
        while True:
            outcome = self._take()
            self._feed_behind(outcome)  # what was made ready made room
            if outcome is not None:
                return outcome
            outcome = self._take()
            if outcome is not None:
                return outcome
            if self._ended or self._is_over():
                self._end()
            if is_late:
                return None
            step = FULL_RING_STEP if self.waits_for_room else STEP
            self._sleep(step if left is None else min(left, step))
            if self.engine.is_finished:
                self.abandon(self.engine.end_error())
                outcome = self._take()
                if outcome is not None:
                    return outcome
                self._on_the_way.clear()  # nothing can come any more
            if deadline is not None:
                left = max(0.0, deadline - monotonic())
                is_late = left <= 0

    def _sleep(self, step: float) -> None:
        self._waiting += (None,)  # no call, so no interrupt comes in behind it; nor at the end
        try:
            if self._input.holds:
                self.feed()
            self.engine.step(self, step)
        finally:
            del self._waiting[-1]
        if self._input.holds:  # from here on nothing is held back for us to send
            self.feed()

    def _is_over(self) -> bool:
        """Whether there is nothing more to consume, and nothing more will come."""
        return self.all_sent and not self._on_the_way and self.answer is None

    def _end(self) -> NoReturn:
        self._ended = True
        self.engine.streams.discard(self)
        self.give_back()
        self.engine.channel.wake(self)  # other threads wait for one that does not come
        error, self._input.error = self._input.error, None
        failures, self._failures = self._failures, []
        if self.bar is not None:
            self.bar.close(error is None and not self.is_closed)
        if error is not None:
            raise completed(error)
        if failures:
            raise group(self, failures, self._pulled())
        raise StopIteration from None


def begin(job: StreamJob) -> None:
    """Have it sent; from here on it has to be consumed or closed.

    Raises:
        RuntimeError: its input wants a thread, for which the system has no room.
        Exception: what its bar raises, or its input by an interrupt. It is closed.
    """
    engine = job.engine
    try:
        job.show()
        engine.streams.add(job)
        engine.job_begins(job.options)
        job.start()
    except BaseException:
        job.close()
        raise
    if not engine.is_running():
        engine.look_after_latecomers()
