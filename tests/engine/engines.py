"""The engine without processes and shared memory: the test is its workers.

Everything above the core is the real thing. The channel is a model of the core's, with the rules
of ``core/claim.h``: a worker begins its items one by one, the outcomes of those that are done are
kept where its death can not reach them, and what is not begun can be taken back.
"""

from __future__ import annotations

import pickle
import struct
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from procession._codec import messages
from procession._codec.buffers import dumps_answer
from procession._codec.exceptions import encode_exception
from procession._codec.items import Items, loads_items
from procession._engine.engine import Engine
from procession._engine.entries import Record
from procession._engine.options import PLAIN, Options
from procession._engine.packing import Packer
from procession._engine.policy import Ended, Fate, PoolState
from procession._engine.sources import Pulled, Sliced
from tests.engine.arenas import FakeArena, in_one_piece
from tests.engine.published import FakeFunctions

INLINE = 256
"""Bytes of a payload that travels within its record; a longer one gets a block."""

_INTEGERS = [(b"b", "=b", 7), (b"h", "=h", 15), (b"i", "=i", 31), (b"q", "=q", 63)]


def encode_outcome(value: Any) -> bytes:
    """The outcome of an item as a worker encodes it; see ``bind_outcomes.c``."""
    if isinstance(value, BaseException):
        encoded = encode_exception(value)
        return b"E" + struct.pack("=Q", len(encoded)) + encoded
    for simple, tag in ((None, b"N"), (True, b"T"), (False, b"F")):
        if value is simple:
            return tag
    if type(value) is int:
        for tag, form, bits in _INTEGERS:
            if -(1 << bits) <= value < 1 << bits:
                return tag + struct.pack(form, value)
    if type(value) is float:
        return b"d" + struct.pack("=d", value)
    if type(value) is str:
        text = value.encode()
        return b"S" + struct.pack("=I", len(text)) + text
    pickled = pickle.dumps(value)
    return b"P" + struct.pack("=Q", len(pickled)) + pickled


@dataclass
class Claim:
    """What a worker holds.

    Attributes:
        begun, end: items [begun, end) are not begun.
        done: the items before this one have their outcomes: those from `kept_from` on in `area`.
        answered: its answer was sent, and it still holds the record.
        held: its hold on what lies beside its payload.
    """

    number: int
    kind: int
    items: Any
    first: int
    end: int
    begun: int = field(init=False)
    done: int = field(init=False)
    kept_from: int = field(init=False)
    area: Any = b""
    started: bool = True
    answered: bool = False
    held: Any = None

    def __post_init__(self) -> None:
        self.begun = self.done = self.kept_from = self.first

    @property
    def is_range(self) -> bool:
        """Whether it is a part of a call over many items."""
        return self.kind & messages.KIND_MASK not in (messages.CALL, messages.CARRIED_CALL)


class FakeChannel:
    """The core's channel, as the engine and the workers see it.

    Attributes:
        ring: what was sent and not claimed: number, kind, payload, first, end.
        room: how many records it takes; None for any number.
        claims: what the workers hold, by their seats.
        blocks: large payloads, by their numbers.
        tells_twice: whether an answer is told again, as after an interrupt.
        when_waiting: called where a thread would sleep; something has to happen in it.
    """

    def __init__(self, room: int | None, arena: FakeArena) -> None:
        self.arena = arena
        self.ring: deque[tuple[int, int, Any, int, int]] = deque()
        self.room = room
        self.claims: dict[int, Claim] = {}
        self.blocks: dict[int, bytes] = {}
        self.results: deque[tuple[int, int, bytes, int, int, int]] = deque()
        self.woken: list[object] = []
        self.doomed: set[int] = set()
        self.tells_twice = False
        self.when_waiting: Callable[[], object] = lambda: None
        self._last_block = 0
        self._last_place = 0
        self._places: dict[int, int] = {}

    # ---- the engine's side

    def submit(self, record: Record, open: dict[int, Any], *what: Any) -> int:
        """Put a record into the ring, if there is room; its place there."""
        if self.room is not None and len(self.ring) >= self.room:
            return False
        number, kind, _, _, payload, *items = what
        first, end = items or (0, 1)
        assert first < end
        block = 0
        if len(payload) > INLINE:
            self._last_block = block = self._last_block + 1
            self.blocks[block] = bytes(payload)
        open[number] = record
        record.block = block
        self.ring.append((number, kind, block or bytes(payload), first, end))
        self._last_place += 1
        self._places[self._last_place] = number
        return self._last_place

    def fetch(self, block: int) -> bytes:
        """A block's content."""
        return self.blocks[block]

    def free(self, block: int) -> None:
        """Free a block; once."""
        del self.blocks[block]

    def collect(self, open: dict[int, Any], arrivals: deque[Any]) -> None:
        """Hand out what was answered."""
        while self.results:
            number, kind, payload, last, first, end = self.results.popleft()
            record = open.get(number)
            if record is None:
                continue
            if not kind & messages.PART:
                del open[number]
            if record.attend is True or kind > messages.ERROR:
                for _ in range(1 + self.tells_twice):
                    arrivals.append((record, kind, payload, last, first, end))
            else:
                record.answer = (kind, payload, last)
                if record.attend is not False:
                    record.attend.append(record)

    def wait(
        self, entry: Any, open: Any, arrivals: Any, timeout: float | None, wakes: int | None = None
    ) -> bool | None:
        """Never sleeps: lets something happen."""
        self.collect(open, arrivals)
        if entry.answer is not None:
            return True
        if arrivals or wakes not in (None, len(self.woken)):
            return None
        if timeout == 0:
            return False
        self.when_waiting()
        return None

    def wake(self, entry: object) -> None:
        """Nobody sleeps: note whom it was for."""
        self.woken.append(entry)

    def wakes(self) -> int:
        """How often somebody was woken."""
        return len(self.woken)

    def revoke(self, numbers: Iterable[int]) -> set[int]:
        """Take records out of the ring."""
        revoked = {one[0] for one in self.ring} & {*numbers}
        self.ring = deque(one for one in self.ring if one[0] not in revoked)
        return revoked

    def revoke_at(self, number: int, place: int) -> bool:
        """Take the record out of the ring that was put there, if it is the last of its number."""
        last = max((at for at, its in self._places.items() if its == number), default=None)
        return place == last and bool(self.revoke({number}))

    def seats(self) -> list[tuple[int, ...]]:
        """What the workers hold."""
        return [
            (seat, claim.number, claim.begun, claim.end, claim.done, 0, 0)
            for seat, claim in self.claims.items()
        ]

    def take_back(self, seat: int, number: int, keep: int) -> tuple[int, int] | None:
        """Take back what is not begun, but for `keep` items."""
        claim = self.claims.get(seat)
        if claim is None or claim.number != number or claim.end <= 1:
            return None
        if claim.end - claim.begun <= keep:
            return None
        end, claim.end = claim.end, claim.begun + keep
        return claim.end, end

    def bury(self, seat: int) -> tuple[int, bool, int, int, int, int, bytes] | None:
        """What a dead worker held."""
        claim = self.claims.pop(seat, None)
        if claim is None:
            return None
        begun, done = claim.begun, claim.done
        return claim.number, claim.started, begun, claim.end, done, claim.kept_from, claim.area

    def release(self) -> None:
        """The pool has ended."""

    close = release

    # ---- the workers' side

    def claim(self, seat: int, *, started: bool = True) -> Claim:
        """Claim the first record of the ring."""
        number, kind, payload, first, end = self.ring.popleft()
        content = loads_items(self.blocks[payload] if isinstance(payload, int) else payload)
        content, held = self.arena.opened([*content] if isinstance(content, Items) else content)
        claim = Claim(number, kind, content, first, end, started=started, held=held)
        self.claims[seat] = claim
        return claim

    def begin(self, seat: int) -> Any:
        """Begin the next item; returns what that is."""
        claim = self.claims[seat]
        assert claim.done == claim.begun < claim.end
        claim.begun += 1
        return claim.items[claim.begun - 1]

    def finish(self, seat: int, outcome: Any) -> None:
        """The begun item has an outcome: a value, or the exception that was raised."""
        claim = self.claims[seat]
        encoded = dumps_answer(outcome) if type(outcome) is bytes else b""
        if isinstance(encoded, tuple):  # a part of its own, behind what is kept
            if claim.area:
                self.flush(seat)
            claim.area = in_one_piece(*encoded)
            claim.done = claim.begun
            self.flush(seat)
        else:
            claim.area += encode_outcome(outcome)
            claim.done = claim.begun
        stops = claim.kind & messages.KIND_MASK in (messages.MAP, messages.STARMAP)
        if stops and isinstance(outcome, BaseException):
            claim.end = claim.begun

    def flush(self, seat: int) -> None:
        """Send the outcomes that are kept."""
        claim = self.claims[seat]
        self._publish(claim, messages.OUTCOMES | messages.PART, 0)
        claim.kept_from, claim.area = claim.done, b""

    def answer(self, seat: int, taken: int = 1000, *, leave: bool = True) -> None:
        """Send what is left; `taken`: nanoseconds. Then let go of the record."""
        claim = self.claims[seat]
        assert claim.begun == claim.done
        self._publish(claim, messages.OUTCOMES, taken)
        claim.answered = True
        if leave:
            del self.claims[seat]

    def answer_whole(self, seat: int, kind: int, payload: bytes = b"") -> None:
        """Answer a record as a whole, with another kind of answer."""
        claim = self.claims.pop(seat)
        self.results.append((claim.number, kind, payload, 1000, claim.first, claim.end))

    def _publish(self, claim: Claim, kind: int, taken: int) -> None:
        self.results.append((claim.number, kind, claim.area, taken, claim.kept_from, claim.done))


class FakeAttendant:
    """Keeps what is to be done, for the test to do it.

    Attributes:
        due: what is to be called back.
        by_value: answers of workers that do not know a function.
    """

    answer = None
    is_current = False
    is_unused = False
    is_idle = True

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.due: list[Any] = []
        self.by_value: deque[Any] = deque()

    def step_aside(self) -> None:
        """Nobody is in a callback."""

    def call(self) -> None:
        """Not needed: the tests look by themselves."""

    def call_back(self, calling: Any) -> None:
        """Told of something whose outcome is known."""
        self.due.append(calling)

    def send_by_value(self, arrival: Any) -> None:
        """Told of a record that is to be sent again; perhaps twice."""
        if arrival not in self.by_value:
            self.by_value.append(arrival)

    def serve(self) -> None:
        """Send one again."""
        self._engine.sender.send_by_value(*self.by_value.popleft()[:3])

    def stop(self) -> list[Any]:
        """The pool has ended."""
        left = [arrival[0] for arrival in self.by_value]
        self.by_value.clear()
        return left

    def join(self, timeout: float | None = None) -> None:
        """There is no thread."""


class FakeSupervisor:
    """Kills nobody, but notes whom it should.

    Attributes:
        killed: seats and fates.
    """

    def __init__(self, channel: FakeChannel) -> None:
        self._channel = channel
        self.killed: list[tuple[int, Fate]] = []
        self.watched: list[float] = []

    def wake(self) -> None:
        """It has no thread."""

    work_came = wake

    def watch(self, timeout: float) -> None:
        """A time-out is in use."""
        self.watched.append(timeout)

    def kill_task(self, seat: int, number: int, item: int | None, fate: Fate) -> bool:
        """Note it, if the worker is still at that."""
        claim = self._channel.claims.get(seat)
        if claim is None or claim.number != number:
            return False
        self.killed.append((seat, fate))
        return True


class FakeEngine(Engine):
    """An engine for so many workers, which the test plays.

    Args:
        room: how many records its ring takes.
        arena: where the arguments lie; without one they weigh nothing.
    """

    channel: Any
    functions: Any
    attendant: Any
    supervisor: Any

    def __init__(
        self, workers: int = 2, room: int | None = None, arena: FakeArena | None = None
    ) -> None:
        super().__init__(workers)
        if arena is not None:
            self.packer = Packer(self, arena.dumps_task, arena.dumps_items, lambda: arena.freed)
            self.pack = self.packer.pack
        self.state = PoolState.RUNNING
        self.channel = FakeChannel(room, arena or FakeArena(0, [0]))
        self.functions = FakeFunctions()
        self.attendant = FakeAttendant(self)
        self.supervisor = FakeSupervisor(self.channel)
        self.channel.when_waiting = self.answer_one

    @property
    def ring(self) -> list[Any]:
        """The records that were sent and are not claimed."""
        return [self.open[one[0]] for one in self.channel.ring]

    def start_map(
        self,
        items: Any,
        chunk_size: int | None = None,
        options: Options = PLAIN,
        **callbacks: Any,
    ) -> Any:
        """Begin a map call."""
        is_sliced = isinstance(items, (list, range, tuple))
        source: Any = Sliced(items) if is_sliced else Pulled(items)
        return self.map(abs, source, chunk_size, options, **callbacks, attended=True)

    def start_stream(
        self, items: Any, chunk_size: int | None = None, options: Options = PLAIN
    ) -> Any:
        """Begin an imap call."""
        return self.stream(abs, Pulled(items, whole=chunk_size is not None), chunk_size, options)

    # ---- the test's part

    def claim(self, index: int = 0, seat: int = 0) -> Any:
        """A worker claims a record, which is returned."""
        ring = self.channel.ring
        ring.rotate(-index)
        claim = self.channel.claim(seat)
        ring.rotate(index)
        return self.open[claim.number]

    def run(self, function: Callable[[Any], Any] = lambda item: item, seat: int = 0) -> None:
        """A worker runs all that it holds, and answers."""
        claim = self.channel.claims[seat]
        while claim.begun < claim.end:
            item = self.channel.begin(seat)
            try:
                outcome = function(item)
            except Exception as error:
                outcome = error
            self.channel.finish(seat, outcome)
        self.channel.answer(seat)

    def answer_one(
        self, index: int = 0, function: Callable[[Any], Any] = lambda item: item
    ) -> None:
        """A worker claims a record, runs it and answers; it is collected."""
        self.claim(index)
        self.run(function)
        self.collect()

    def die(self, seat: int = 0, fate: Fate = Fate.DIED) -> Ended:
        """A worker ends."""
        ended = Ended(1234, -9, fate)
        with self.lock:
            self.collect()  # as the supervisor does
            self.bury(seat, ended)
        return ended

    def die_at(self, item: Any, seat: int = 0) -> None:
        """A worker that has a record runs it up to this item, and dies there."""
        while (at := self.channel.begin(seat)) != item:
            self.channel.finish(seat, at)
        self.die(seat)

    def assert_clean(self) -> None:
        """Nothing is left of the calls."""
        assert not self.channel.ring
        assert not self.open
        assert not self.arrivals
        assert not self.feeder.records
        assert not self.streams
        assert not self.channel.blocks
        assert not self.functions.own
