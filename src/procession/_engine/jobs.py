"""A call over many items: cut into pieces late, sent a few at a time, settled piece by piece.

What becomes of the outcomes is for the two kinds of jobs to say: ``maps`` collects them, in
``streams`` they are consumed one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from procession import _core
from procession._codec import messages
from procession._codec.buffers import ItemRefused, TooLarge, size_of
from procession._codec.functions import Sent
from procession._codec.given import GivenOutcomes
from procession._engine.batches import OF_ITEMS, PART_FAILED, PART_OF_OUTCOMES, Batch
from procession._engine.chunking import ChunkSizer, bytes_a_piece
from procession._engine.entries import (
    FAILURE,
    Answer,
    function_name,
)
from procession._engine.options import Options
from procession._engine.packing import Shortage
from procession._engine.pieces import LARGEST, Piece
from procession._engine.policy import Failure
from procession._engine.sources import Source, is_interrupt, is_main_thread
from procession._engine.turn import Turn
from procession._observe.progress import Counts, Progress, open_progress
from procession.errors.memory import ArenaFull

if TYPE_CHECKING:
    from procession._engine.engine import Engine


class Job:
    """What map calls and imap calls have in common.

    Args:
        source: the items.
        chunk_size: items a record; None to adapt it to the measured time.
        target: nanoseconds that an adapted record shall take.
        stops: whether a record that fails is run no further.
        pace: nanoseconds that an item is known to take; 0 if it is not.

    Attributes:
        settled, failed, retried: items so far.
        bar: what shows them.
    """

    WORD: ClassVar[str]
    """For people: "a map"."""

    def __init__(
        self,
        engine: Engine,
        function: Callable[..., Any],
        source: Source,
        chunk_size: int | None,
        options: Options,
        *,
        target: int,
        stops: bool,
        pace: float = 0.0,
    ) -> None:
        self.engine = engine
        self.function = function
        self.options = options
        self.settled = self.failed = self.retried = 0
        self.bar: Progress | None = None
        self._source = source
        fixed = None if chunk_size is None else min(chunk_size, LARGEST)
        self._sizer = ChunkSizer(fixed, target, engine.journey_ns, pace)
        self.is_closed = False  # nobody wants the outcomes any more
        self._made: Piece | None = None  # cut and pickled, not sent yet
        self._refused: tuple[int, BaseException] | None = None  # an item that can not be pickled
        self._is_given_up = False  # the rest can not be run
        self._exits = range(0)  # one of these exits when it is pickled
        self._on_the_way: set[Piece] = set()
        # The function, published for this call alone; by value behind that, if it must be.
        self._own: list[Sent] = []
        self._turn = Turn()
        self._call = object() if source.is_fixed else None
        self.is_short = False  # there was no room in the arena for the next piece
        self._shortage: Shortage | None = None
        self._kind = _kind_of(options, stops=stops)
        # Items that were to travel one by one, but share records: they share no state.
        self._is_one_by_one = chunk_size is None and not stops

    @property
    def locks(self) -> tuple[Any, ...]:
        """What a signal handler that waits here lets go, for others to work."""
        return self.engine.locks

    def show(self) -> None:
        """Show how far it is, in the way that its options ask for.

        Raises:
            Exception: what a bar raises that can not be opened.
        """
        spec = self.options.progress
        if spec is not None and spec is not False:
            label = self.options.name or function_name(self.function)
            self.bar = open_progress(spec, self.counts, self._source.total, label)

    # ---- sending; by one thread at a time

    @property
    def all_sent(self) -> bool:
        """Whether nothing is left to cut or to send for the first time."""
        return self._made is None and self._source.is_exhausted

    def feed(self) -> None:
        """Send what can be sent now; by this thread, or by the one that is at it."""
        self._turn.take(self._feed)

    def _feed(self) -> None:
        while self._feed_one():
            pass
        self._settle()  # an interrupt may have kept somebody from that

    def _room(self) -> int:
        """How many items may be cut now."""
        raise NotImplementedError

    def _feed_one(self) -> bool:
        """Send the next piece, if there is room for it on both sides."""
        piece = self._made
        if piece is None:
            room = self._room()
            piece = self._make(room) if room > 0 and not self.is_closed else None
            if piece is None:
                return False
        if piece.block is None and piece.answer is None:  # else an interrupt came in behind that
            self._on_the_way.add(piece)
            if piece.failure is None and not self._send(piece):
                return False
            if piece.failure is not None:
                with self.engine.lock:
                    piece.arrive(self.engine, FAILURE, piece.failure, 0, piece.first, piece.end)
        if not isinstance(piece.failure, ArenaFull):
            self._shortage = None  # else the next one does not wait as long again
        self._made = None
        self.is_short = False
        return True

    def _send(self, piece: Piece) -> bool:
        try:
            sent = self.engine.send(piece)
        except MemoryError as error:
            if isinstance(error, ArenaFull) and self._is_worth_waiting(error):
                self.is_short = True
                return False
            piece.failure = error
            return True
        if sent and piece.end - piece.first > 1:
            self.engine.sharing.watch(piece)
        return sent

    def _make(self, room: int) -> Piece | None:
        """Cut and pickle the next piece, of at most `room` items; None at the end of the input."""
        return self._cut(room)

    def _cut(self, room: int) -> Piece | None:
        source = self._source
        start = source.taken
        refused = self._refused if self._refused and self._refused[0] == start else None
        is_alone = refused or (self._is_one_by_one and start in self._exits)
        items = source.ahead(1 if is_alone else self._next_size(room))
        count = len(items)
        if not count:
            return None
        piece = Piece(self, start, 0, count)
        piece.number = self.engine.ledger.next_number()
        piece.kind = self._kind
        sizer = self._sizer
        most = bytes_a_piece(self.engine.workers) if sizer.can_shrink(count) else None
        try:
            piece.sent = self._function_as_sent()
            if refused:
                piece.failure = refused[1]
            else:
                piece.payload = self.engine.packer.pack_items(
                    items, self.options, most, self._call, each=self._is_one_by_one
                )
        except ItemRefused as end:
            # Those before it go without it. It is the next one, and not pickled again.
            count, error = end.refusal
            self._refused = start + count, error
            if not count:
                return self._cut(room)
            piece.end, piece.payload = count, end.payload
        except TooLarge as large:
            sizer.packed(count, large.size)
            return self._cut(room)
        except ArenaFull as full:
            if most is not None:
                sizer.halve(count)
                return self._cut(room)
            if self._is_worth_waiting(full):
                self.is_short = True
                return None
            piece.failure = full
        except Exception as error:
            # Behind the end of the pool nothing can be published, which is no fault of the items.
            piece.failure = self.engine.end_error() if self.engine.is_finished else error
        except BaseException as error:
            if is_interrupt(error):
                raise
            if start not in self._exits:
                self._exits = range(start, start + count)
                if is_main_thread():
                    raise  # most likely a signal handler's; else it does so again
                if self._is_one_by_one:
                    return self._cut(room)
            piece.failure = error
        if piece.failure is None:
            piece.size = size_of(piece.payload)
            sizer.packed(count, piece.size)
        with self.engine.lock:
            if source.taken != start or self.is_closed or self._is_given_up:  # meanwhile
                return None
            # Both or neither, whatever interrupts: there is no call in between.
            self._made = piece
            source.taken = start + count
        if refused:
            self._refused = None
        return piece

    def _is_worth_waiting(self, full: ArenaFull) -> bool:
        """Whether a piece is for later, for which there is no room in the arena now."""
        shortage = self._shortage = self._shortage or Shortage()
        return self.engine.packer.is_worth_waiting(shortage, full)

    def _next_size(self, room: int) -> int:
        if self.engine.times_records and self.options.timeout is not None:
            return 1  # its time counts from its start
        source = self._source
        left = None if source.total is None else max(1, source.total - source.taken)
        size = self._sizer.next(left, self.engine.workers, room)
        return size if self.options.max_in_flight is None else min(size, room)

    def _function_as_sent(self) -> Sent:
        functions = self.engine.functions
        # Asked for each time: what a lambda captured may change meanwhile.
        own = self._own
        sent = own[-1] if own else functions.find(self.function)
        sent = sent or functions.publish(self.function)
        if sent is None:
            sent = functions.publish_for_one(self.function)
            self._own.append(sent)
        return sent.for_each() if self._is_one_by_one else sent

    def publish_by_value(self, piece: Piece) -> None:
        """The workers do not know its function by name: it shall be sent by value.

        Raises:
            Exception: what pickle says of a function that can not be pickled so.
        """
        engine, own = self.engine, self._own
        sent = engine.functions.publish(self.function, by_value=True)
        if sent is None and own and own[-1].code != piece.sent.code:
            sent = own[-1]  # it is for another piece already
        elif sent is None:
            sent = engine.functions.publish_for_one(self.function, by_value=True)
            with engine.lock:
                if self.is_closed:
                    engine.functions.free(sent)
                    return
                own.append(sent)
        piece.sent = sent.for_each() if self._is_one_by_one else sent

    # ---- arriving; under the engine's lock

    def arrived(
        self, piece: Piece, kind: int, payload: Any, taken: int, first: int, end: int
    ) -> None:
        """Some of a piece's outcomes are here; told again after an interrupt, perhaps."""
        is_part = kind == PART_OF_OUTCOMES
        if kind not in OF_ITEMS:
            if kind == PART_FAILED:
                kind, is_part = FAILURE, True
            else:
                first, end = piece.reached, piece.end
        if first >= piece.reached and end > first and piece in self._on_the_way:
            self._note(piece, first, end, (kind, payload, taken))
        if is_part:
            return
        if kind == messages.OUTCOMES:
            self._sizer.measured(max(1, end - piece.first), taken)
        self.done_with(piece)

    def _note(self, piece: Piece, first: int, end: int, answer: Answer) -> None:
        """Keep the outcomes of a range."""
        failed = self._failed_in(answer, end - first)
        skipped: frozenset[int] = frozenset()
        if failed and self.options.retries:
            skipped = frozenset(at for at in failed if self._again(piece, first + at, answer))
        batch = Batch(piece, first, end - first, answer, skipped)
        again, lost = len(skipped), len(failed) - len(skipped)
        if not self.is_closed:
            if not self._keep(batch, piece):
                return
        elif piece.reached > first:
            return
        # No call of C behind what keeps it, so no interrupt: all of it or nothing.
        piece.reached = end
        self.settled += end - first - again
        self.failed += lost
        if self.retried and end - first == 1 and not skipped:  # it had travelled by itself
            self.engine.settler.forget(piece, first)

    def _failed_in(self, answer: Answer, count: int) -> list[int]:
        """Which of them failed; looks into the outcomes only where that matters."""
        kind, payload, _ = answer
        if kind not in OF_ITEMS:
            return list(range(count))
        if type(payload) is GivenOutcomes:
            return sorted(payload.failures)
        if type(payload) is not bytes or not (self.options.retries or self.options.progress):
            return []
        failures: list[tuple[int, Any]] = []
        _core.decode_outcomes(payload, len, failures)
        return [at for at, _ in failures]

    def _again(self, piece: Piece, item: int, answer: Answer) -> bool:
        """Whether an item that raised is run again; if so, it is on its way."""
        kind, payload, _ = answer
        if kind not in OF_ITEMS:
            return False  # its death was looked at already, or it was never run
        settler = self.engine.settler
        again, is_known = settler.may_run_again(piece, item, Failure.RAISED, payload)
        if not again:
            return False
        part = self._part(piece, item) if is_known else None
        if part is None:
            self.retried += 1
            self.send_part(piece, item, item + 1)
        elif part.block is None and part not in self.engine.feeder.records:
            self.engine.send_first(part)  # an interrupt came in before that
        return True

    def _part(self, piece: Piece, item: int) -> Piece | None:
        """The one that was made of this item alone, if it is on its way."""
        for part in self._on_the_way:
            if part is not piece and part.start == piece.start and part.first == item:
                return part
        return None

    def lose(self, piece: Piece, first: int, end: int, answer: Answer) -> None:
        """Some items have failed with the worker that was at them."""
        self._note(piece, first, end, answer)

    def send_part(self, piece: Piece, first: int, end: int) -> None:
        """Send a range of a piece as a piece of its own, before all others."""
        self._send_first(piece.part(first, end, self.engine.payload_of(piece)))

    def send_alone(self, piece: Piece, item: int, payload: bytes) -> Piece:
        """The same for one item, of which these are the bytes."""
        alone = piece.alone(item, payload)
        self._send_first(alone)
        return alone

    def _send_first(self, part: Piece) -> None:
        part.number = self.engine.ledger.next_number()
        self._on_the_way.add(part)
        self.engine.send_first(part)

    def done_with(self, piece: Piece) -> None:
        """A piece is done with."""
        self.engine.free_payload(piece)
        self.engine.sharing.forget(piece)
        self._on_the_way.discard(piece)
        self._settle()
        if not self.all_sent:
            # The supervisor may have collected it, which feeds nobody: those who do sleep on.
            self.engine.channel.wake(self)
            self.engine.channel.wake(self.engine.attendant)

    def _keep(self, batch: Batch, piece: Piece) -> bool:
        """Outcomes are here; False if they were before, for a signal handler may have come in and
        kept them. No call in here comes between that question and the end."""
        raise NotImplementedError

    def _settle(self) -> None:
        """See whether all is here."""
        raise NotImplementedError

    # ---- the end

    def forget(self) -> None:
        """Nobody wants the rest: what is not begun is not run, and nothing more is sent."""
        self.withdraw()
        self.let_go()

    def withdraw(self) -> None:
        """The first half of ``forget``: runs no code of the user's."""
        engine = self.engine
        with engine.lock:
            self.is_closed = True
            made = self._made
            if made is not None and made.block is None:
                self._on_the_way.discard(made)
            self._made = None
            self._source.end()
            engine.settler.withdraw(list(self._on_the_way))

    def let_go(self) -> None:
        """The second half of ``forget``: closes the input."""
        try:
            self._source.close()
        finally:
            self.give_back()

    def give_back(self) -> None:
        """Free what was published for this call alone."""
        while self._own:
            self.engine.functions.free(self._own.pop())

    def counts(self) -> Counts:
        """How far it is, for a progress bar. Counts what the workers have done, item by item."""
        done, running = self.settled, 0
        for _, number, begun, _, finished, *_ in self.engine.seats():
            piece = self.engine.open.get(number)
            if isinstance(piece, Piece) and piece.job is self:
                done += max(0, finished - piece.reached)
                running += begun > finished
        return Counts(done=done, failed=self.failed, retried=self.retried, running=running)


def _kind_of(options: Options, *, stops: bool) -> int:
    kind = messages.MAP if stops else messages.EACH
    if options.star:
        kind = messages.STARMAP if stops else messages.STAREACH
    if options.timeout is not None:
        kind |= messages.TIMED
    if options.grace is not None:
        kind |= messages.GUARDED
    return kind
