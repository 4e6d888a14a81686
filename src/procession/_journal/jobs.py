"""A call over many items whose outcomes are recorded before they are delivered.

For the engine it is an imap call in any order, over what is not recorded. Positions, order, and
what was recorded before are put together again here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from procession._engine.batches import Batch
from procession._engine.holding import let_go
from procession._engine.lookahead import WORTH_WAKING
from procession._engine.options import Options
from procession._engine.pieces import Piece
from procession._engine.streams import StreamJob
from procession._engine.turn import Turn
from procession._journal.file import CallLog, Row
from procession._journal.forms import Form
from procession._journal.recorder import Recorder
from procession._journal.sieve import MOST_ASIDE, Place, Sieve
from procession._observe.progress import Counts

if TYPE_CHECKING:
    from procession._engine.engine import Engine
    from procession._engine.entries import Answer


class Outcome(NamedTuple):
    """What came of an item.

    Attributes:
        place: where in the input it stands.
        success: whether it has a value; else it has an error.
        value: one of the two.
        size: bytes that are counted for it.
    """

    place: Place
    success: bool
    value: Any
    size: int


class RecordedJob(StreamJob):
    """One call whose outcomes are known by their positions, and recorded if there is a log.

    Args:
        source: the input.
        chunk_size: items a record; None for as few as the measured time allows.
        options: as for imap.
        form: what is recorded and delivered of values.
        log: where to; None: nowhere. Its journal is closed when the job is over.
    """

    WORD = "a call"

    ends_when_dropped = True

    def __init__(
        self,
        engine: Engine,
        function: Callable[..., Any],
        source: Sieve,
        chunk_size: int | None,
        options: Options,
        form: Form,
        log: CallLog | None,
    ) -> None:
        # In any order for the engine: an item that waits for its turn is recorded all the same.
        unordered = options.changed(ordered=False)
        super().__init__(engine, function, source, chunk_size, unordered)
        self.delivered: Place | None = None
        self._sieve = source
        self._form = form
        self._log = log
        self._in_order = options.ordered
        self._turn_of = 0  # in order: the position that is delivered next
        self._outcomes: dict[int, Outcome] = {}  # by position, in the order in which they came
        self._taking = Turn()
        self._recorder = None if log is None else Recorder(self)

    def open(self) -> None:
        """Begin to record."""
        if self._recorder is not None:
            self._sieve.ring = self._wake
            self._recorder.start()

    def _wake(self) -> None:
        self.engine.channel.wake(self)

    @property
    def has_arrivals(self) -> bool:
        """Whether outcomes are here that were not taken yet."""
        return bool(self._queue)

    @property
    def answer(self) -> bool | None:
        """True while there is something to consume; what the core asks for who waits."""
        recorder = self._recorder
        if recorder is None and self._queue:
            return True
        if recorder is not None and recorder.error is not None:
            return True
        return True if self.is_due else None

    @property
    def is_due(self) -> bool:
        """Whether an outcome can be delivered now."""
        aside = self._sieve.aside
        if not self._in_order:
            return bool(aside or self._outcomes)
        if self._turn_of in self._outcomes:
            return True
        try:
            return aside[0].position == self._turn_of
        except IndexError:
            return False

    # ---- sending

    def lift_limit(self) -> None:
        """Look ahead without bounds from now on: the pool is closing, all of it is to be done."""
        self._sieve.is_unbounded = True
        super().lift_limit()

    def _ahead(self) -> int:
        return self._sieve.taken - self._moved

    def _room(self) -> int:
        room = super()._room()
        return room if self.options.max_in_flight is None else room - len(self._sieve.aside)

    def _is_worth_waking(self) -> bool:
        # What is set aside is delivered without a worker: no more of it is needed for a while.
        is_enough = len(self._sieve.aside) > MOST_ASIDE - MOST_ASIDE // WORTH_WAKING
        if is_enough and not self._limit_lifted and not self.waits_for_room:
            return False
        return super()._is_worth_waking()

    def _pulled(self) -> int:
        return self._sieve.taken + self._sieve.recorded

    def counts(self) -> Counts:
        """How far it is. What is recorded counts as done."""
        counts = super().counts()
        return counts._replace(done=counts.done + self._sieve.recorded)

    # ---- arriving

    def _note(self, piece: Piece, first: int, end: int, answer: Answer) -> None:
        super()._note(piece, first, end, answer)
        if self._recorder is not None:
            self.engine.channel.wake(self._recorder)

    def take_arrivals(self) -> None:
        """Decode and record what has come, then have it delivered. By one thread at a time."""
        with self.engine.lock:
            batches = list(self._queue)
        outcomes: list[Outcome] = []
        rows: list[Row] = []
        for batch in batches:
            self._decode_batch(batch, outcomes, rows)
        if self._log is not None and rows:
            self._log.record(rows)
        with self.engine.lock:
            for outcome in outcomes:  # first: between the two, nobody must think that all is over
                self._outcomes[outcome.place.position] = outcome
                self._bytes_here += outcome.size
            for batch in batches:
                if self._queue and self._queue[0] is batch:  # else the job was closed
                    self._queue.popleft()
                    self._bytes_here -= batch.size
        if batches:
            self.engine.channel.wake(self)
            self.engine.channel.wake(self.engine.attendant)

    def _decode_batch(self, batch: Batch, outcomes: list[Outcome], rows: list[Row]) -> None:
        values, failures = batch.decode()
        size = batch.size // max(1, batch.count)
        for at in range(batch.count):
            if at in batch.skipped:
                continue
            place = self._sieve.places.pop(batch.start + at)
            error = failures.get(at)
            if error is None:
                try:
                    content, value = self._encode(place, values[at])
                except Exception as failure:
                    error = failure
                else:
                    rows.append(Row(place.position, place.key, content))
                    outcomes.append(Outcome(place, True, value, size))
            if error is not None:
                outcomes.append(Outcome(place, False, error, size))

    def _encode(self, place: Place, value: Any) -> tuple[bytes, Any]:
        if self._log is not None and not place.key:
            raise TypeError("an item that can not be pickled can not be recorded in a journal")
        return self._form.encode(value)

    # ---- consuming

    def _take(self) -> tuple[bool, Any] | None:
        recorder = self._recorder
        if recorder is None and self._queue:
            self._taking.take(self.take_arrivals)
        if recorder is not None and recorder.error is not None:
            self.close()
            raise recorder.error
        found = self._from_aside() or self._from_outcomes()
        if found is None and self.engine.is_finished and self._queue:
            self.pause(0.001)  # the recorder is at it; nobody rings any more
        return found

    def _from_aside(self) -> tuple[bool, Any] | None:
        aside = self._sieve.aside
        while aside:
            try:
                place = aside[0]
            except IndexError:  # taken by another thread
                return None
            if self._in_order and place.position != self._turn_of:
                return None
            assert self._log is not None
            assert place.number is not None
            value = self._log.load(place.number)
            with self.engine.lock:
                if aside and aside[0] is place:
                    aside.popleft()
                    self._turn_of = place.position + 1
                    self.delivered = place
                    return True, value
        return None

    def _from_outcomes(self) -> tuple[bool, Any] | None:
        with self.engine.lock:
            if self._in_order:
                outcome = self._outcomes.pop(self._turn_of, None)
            else:
                first = next(iter(self._outcomes), None)
                outcome = None if first is None else self._outcomes.pop(first)
            if outcome is None:
                return None
            self._turn_of = outcome.place.position + 1
            self._moved += 1
            self._bytes_here -= outcome.size
            self.delivered = outcome.place
            return outcome.success, outcome.value

    def _is_over(self) -> bool:
        with self.engine.lock:
            left = self._queue or self._outcomes or self._sieve.aside
            return super()._is_over() and not left

    # ---- the end

    def _end(self) -> NoReturn:
        self._stop_recording(wait=True)
        super()._end()

    def close(self) -> None:
        """Nobody consumes any more. What has come is recorded still, and the journal closed."""
        self._drop(wait=True)

    def drop(self) -> None:
        """The same, without waiting for any of it: for a garbage collection."""
        self._drop(wait=False)

    def _drop(self, *, wait: bool) -> None:
        try:
            self._stop_recording(wait=wait)  # first: what has come is forgotten by the rest
        finally:
            if wait:
                super().close()
            else:
                super().drop()

    def stop(self) -> bool:
        """See ``StreamJob.stop``; what has come is recorded beside it."""
        if not self._ended:
            self._stop_recording(wait=False)
        return super().stop()

    def _stop_recording(self, *, wait: bool) -> None:
        if self._recorder is not None:
            with let_go(*self.locks):  # it may be a signal handler that closes
                self._recorder.stop(wait=wait)

    @property
    def locks(self) -> tuple[Any, ...]:
        """What a signal handler that waits here lets go, for others to work."""
        locks = super().locks
        return locks if self._log is None else (*locks, self._log.journal.lock)

    def close_journal(self) -> None:
        """The recorder has ended."""
        if self._log is not None:
            self._log.journal.close()

    def pause(self, seconds: float) -> None:
        """Wait a little, where nobody rings."""
        time.sleep(seconds)
