"""The channel of a pool on another engine: takes records, as the core's, and has them run there.

What is submitted waits here, as in the task ring; so what is not begun can be taken back. A thread
of its own hands it on, for an engine may take its time: only so many requests are under way as keep
its workers busy. Answers are noted by whichever thread the engine tells them in, and handed out by
those who wait, as everywhere.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from time import monotonic, monotonic_ns
from typing import TYPE_CHECKING, Any

from procession._backends.abilities import Ability
from procession._backends.bells import Bell
from procession._backends.flights import Cargo, Flight, Seat
from procession._backends.remote import Response
from procession._backends.seam import Backend, Loss
from procession._codec import messages
from procession._engine.entries import CANCELLED, FAILURE
from procession._engine.pieces import Piece
from procession._threads import Thread

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from procession._engine.entries import Record

STEP = 0.5
"""Seconds after which a sleeper looks around in any case."""

PLACES_A_WORKER = 2
"""Requests under way: one that runs, one that waits beside it, where it would wait."""

_LAST_OUTCOME = messages.OUTCOMES

Arrival = tuple[Any, int, Any, int, int, int]


class _Waiter:
    __slots__ = ("bell", "entry", "is_told")

    def __init__(self, entry: Any) -> None:
        self.entry = entry
        self.is_told = False
        self.bell = Bell()


class Relay:
    """The channel of one engine.

    Args:
        backend: runs the requests.
        open: the ledger's records without an answer.
        load: makes a record into what is submitted; runs no code of the user's.
        alert: wakes the overseer.

    Attributes:
        workers, has_more: so many tasks are to run at the same time; the engine would run more.
        losses: flights whose worker was lost; for the overseer.
        refusal: what the engine said when it took nothing more.
    """

    def __init__(
        self,
        backend: Backend,
        open: dict[int, Any],
        load: Callable[[Record], Cargo],
        alert: Callable[[], object],
    ) -> None:
        self.workers, self.has_more = 1, False
        self.losses: deque[tuple[Flight, Loss]] = deque()
        self.refusal: BaseException | None = None
        self.alert = alert
        self.is_closed = False
        self._backend = backend
        self._stops = Ability.STOP in backend.abilities
        self._open = open
        self._load = load
        self._pid = os.getpid()
        # Reentrant: finalizers and signal handlers come in anywhere.
        self._lock = threading.RLock()
        self._queue: dict[int, Record] = {}
        self._flights: dict[int, Flight] = {}  # whose outcome is wanted
        self._busy: dict[int, Flight] = {}  # that the engine is not done with
        self._landed: deque[Flight] = deque()
        self._unwanted: deque[Flight] = deque()  # to be stopped
        self._serial = itertools.count(1)
        self._waiters: dict[_Waiter, None] = {}
        self._wakes = 0
        self._released = False
        self._bell = Bell()
        self._thread = Thread(target=self._run, name="procession-relay", daemon=True)

    def resize(self, workers: int, *, has_more: bool) -> None:
        """So many tasks are run at the same time from now on."""
        if (workers, has_more) != (self.workers, self.has_more):
            self.workers, self.has_more = workers, has_more
            self._bell.ring()

    def start(self) -> None:
        """Begin to hand on."""
        self._thread.start()

    # ---- submitting

    def submit(
        self,
        entry: Record,
        open: dict[int, Any],
        number: int,
        kind: int,
        function: int,
        code: int,
        payload: Any,
        first: int = 0,
        end: int = 1,
        /,
    ) -> int:
        """Take a record; 0 if it comes too late."""
        if self._released:
            return 0
        with self._lock:
            # In this order: whoever is interrupted before the last step sends it again.
            self._queue[number] = entry
            open[number] = entry
            entry.block = 0
        self._bell.ring()
        return next(self._serial)

    def revoke(self, numbers: AbstractSet[int], /) -> set[int]:
        """Take back what is not begun; which of them that is."""
        with self._lock:
            found = {number for number in numbers if self._queue.pop(number, None) is not None}
            if not self._stops:
                for flight in [*self._flights.values()]:
                    if flight.number in numbers and self._recall(flight):
                        found.add(flight.number)
        return found

    def revoke_at(self, number: int, place: int, /) -> bool:
        """Take one back, if it is not begun."""
        return bool(self.revoke({number}))

    def _recall(self, flight: Flight) -> bool:
        """Whether the engine had it, but did not begin it and will not."""
        future = flight.future
        if future is None or future.done() or flight.outcome is not None:
            return False
        if not self._backend.stop(future):
            return False
        self._forget(flight)
        self._busy.pop(flight.seat, None)
        return True

    def take_back(self, seat: int, number: int, keep: int, /) -> tuple[int, int] | None:
        """Nothing of what is under way can be given to others."""
        return None

    # ---- handing on; the relay's own thread

    def _run(self) -> None:
        is_last = False
        while not is_last:
            self._bell.sleep(STEP)
            is_last = self._released  # first: what is unwanted by then is stopped yet
            while self._unwanted:
                self._stop(self._unwanted.popleft())
            while not self._released and self.refusal is None and (flight := self._next()):
                self._send(flight)

    def _next(self) -> Flight | None:
        """The next one, if there is a place for it."""
        with self._lock:
            for number, record in [*itertools.islice(self._queue.items(), 1)]:
                begins = self.has_more or record.options.timeout is not None
                places = self.workers if begins else PLACES_A_WORKER * self.workers
                if len(self._busy) >= places:
                    return None
                flight = Flight(next(self._serial), record)
                del self._queue[number]
                if self._open.get(number) is not record:  # it was answered meanwhile
                    self._bell.ring()
                    return None
                self._flights[flight.seat] = self._busy[flight.seat] = flight
                return flight
        return None

    def _send(self, flight: Flight) -> None:
        try:
            cargo = self._load(flight.record)
        except BaseException as error:  # it was freed meanwhile, or the engine keeps nothing
            self._land(flight, error)
            return
        try:
            flight.future = future = self._backend.submit(*cargo)
            future.add_done_callback(partial(self._arrived, flight))
        except BaseException as error:
            self.refusal = error
            self._busy.pop(flight.seat, None)
            self.alert()
            return
        del cargo
        if flight.is_over:  # nobody wants it by now
            self._stop(flight)
        elif flight.record.options.timeout is not None:
            self.alert()  # who looks at the clock

    def _stop(self, flight: Flight) -> None:
        future = flight.future
        if future is None or future.done():
            return
        try:
            is_free = self._backend.stop(future)
        except Exception:  # it can not be reached: its future will tell
            is_free = False
        if is_free:
            self._busy.pop(flight.seat, None)

    # ---- arriving; called by whoever the engine has call it

    def _arrived(self, flight: Flight, future: Future[Any]) -> None:
        try:
            answer = future.result()
        except BaseException as error:
            self._land(flight, error)
            return
        if not isinstance(answer, Response):
            answer = TypeError(f"{self._backend.name} answered with a {type(answer).__name__}")
        self._land(flight, answer)

    def _land(self, flight: Flight, outcome: Response | BaseException) -> None:
        flight.outcome = outcome
        self._landed.append(flight)
        self._busy.pop(flight.seat, None)
        if self._queue:
            self._bell.ring()
        if isinstance(outcome, BaseException):
            self.alert()
        self._ring_first()

    def _ring_first(self) -> None:
        waiters = [*self._waiters]
        if waiters:
            waiters[0].bell.ring()

    # ---- collecting and waiting; by any thread

    def collect(self, open: dict[int, Any], arrivals: deque[Arrival], /) -> None:
        """Hand out what has landed. Runs no code of the user's."""
        self._collect(open, arrivals, None)

    def _collect(self, open: dict[int, Any], arrivals: deque[Arrival], me: _Waiter | None) -> None:
        if not self._landed or self._released:
            return
        while self._landed:
            with self._lock:
                try:
                    flight = self._landed[0]
                except IndexError:  # another thread, or a signal handler, did it all
                    break
                self._hand_out(flight, open, arrivals)
                if self._landed and self._landed[0] is flight:
                    self._landed.popleft()
        for waiter in [*self._waiters]:
            if waiter is not me and (waiter.entry.answer is not None or arrivals):
                waiter.bell.ring()

    def _hand_out(self, flight: Flight, open: dict[int, Any], arrivals: deque[Arrival]) -> None:
        """Give a flight's answer to its record; done again after an interrupt, it is told twice."""
        record, outcome = flight.record, flight.outcome
        if flight.is_over or open.get(flight.number) is not record or outcome is None:
            self._forget(flight)
            return
        if isinstance(outcome, Response):
            kind, payload, taken, first, end, *_ = outcome
        else:
            loss = self._loss(outcome)
            if loss is not None:
                self.losses.append((flight, loss))  # the overseer buries it
                self.alert()
                return
            kind, payload, taken, first, end = FAILURE, outcome, 0, record.first, record.end
            if isinstance(outcome, CancelledError) and not isinstance(record, Piece):
                kind, payload = CANCELLED, None
        if kind == messages.INITIALIZER_FAILED:
            arrivals.append((None, kind, payload, 0, 0, 0))
            return
        if record.attend is True or kind > _LAST_OUTCOME:
            arrivals.append((record, kind, payload, taken, first, end))
        else:
            if record.answer is None:
                record.answer = (kind, payload, taken)
            if record.attend is not False:
                record.attend.append(record)
        open.pop(flight.number, None)
        self._forget(flight)

    def _loss(self, error: BaseException) -> Loss | None:
        try:
            found = self._backend.loss(error)
        except Exception:
            found = None
        if found is None and isinstance(error, BrokenProcessPool):
            return Loss(str(error), is_engine=True)
        return found

    def _forget(self, flight: Flight) -> None:
        flight.is_over = True
        self._flights.pop(flight.seat, None)
        if flight.outcome is not None:
            flight.future = None

    def wait(
        self,
        entry: Any,
        open: dict[int, Any],
        arrivals: deque[Arrival],
        timeout: float | None,
        wakes: int | None = None,
    ) -> bool | None:
        """True when the entry is answered, False when time is up, None to look around."""
        if self._released:
            return None
        self._check_owner()
        me = _Waiter(entry)
        wakes = self._wakes if wakes is None else wakes
        self._waiters[me] = None
        try:
            until = None if timeout is None else monotonic() + timeout
            left = STEP if timeout is None else timeout
            while True:
                was_told, me.is_told = me.is_told, False
                self._collect(open, arrivals, me)
                if entry.answer is not None:
                    return True
                if arrivals or was_told or self._wakes != wakes or self._released:
                    return None
                if left <= 0:
                    return False
                me.bell.sleep(min(left, STEP))
                if until is not None:
                    left = until - monotonic()
        finally:
            self._waiters.pop(me, None)
            if self._landed:
                self._ring_first()  # the news may have been for us

    def _check_owner(self) -> None:
        if os.getpid() != self._pid:
            raise ValueError(
                "this pool belongs to another process: the parent of this one made it. Make a pool "
                "in the process that uses it"
            )

    def wakes(self) -> int:
        """A number that changes when somebody is woken."""
        return self._wakes

    def wake(self, entry: object, /) -> None:
        """Have those who wait for this look around."""
        self._wakes += 1
        for waiter in [*self._waiters]:
            if waiter.entry is entry:
                waiter.is_told = True
                waiter.bell.ring()

    # ---- what is under way

    def seats(self) -> list[Seat]:
        """What the engine's workers are at, as the core describes claims."""
        with self._lock:
            flights = [*self._flights.values()]
        return [one.row() for one in flights if one.outcome is None and not one.is_over]

    def correct(self, seat: int) -> None:
        """Ask the engine since when a flight runs, if it can tell."""
        flight, running = self._flights.get(seat), getattr(self._backend, "running", None)
        if flight is None or flight.future is None or flight.is_sure or running is None:
            return
        if (seconds := running(flight.future)) is not None:
            flight.is_sure = seconds > 0
            flight.since = max(flight.since, monotonic_ns() - int(1e9 * seconds))

    def drop(self, seat: int, number: int) -> bool:
        """Nobody wants a flight any more: have it stopped. False if it has landed."""
        with self._lock:
            flight = self._flights.get(seat)
            if flight is None or flight.number != number or flight.outcome is not None:
                return False
            self._forget(flight)
        self._unwanted.append(flight)
        self._bell.ring()
        return True

    def bury(self, seat: int, /) -> tuple[int, bool, int, int, int, int, bytes] | None:
        """What a flight was at whose worker is lost, or was too late; it is over with that."""
        with self._lock:
            flight = self._flights.get(seat)
            if flight is None:
                return None
            self._forget(flight)
        if flight.outcome is None:
            self._unwanted.append(flight)
            self._bell.ring()
        _, number, begun, end, done, *_ = flight.row()
        return number, True, begun, end, done, done, b""

    @property
    def is_clear(self) -> bool:
        """Whether the engine is done with all that it was given."""
        return not self._busy

    # ---- blocks: there are none; what is large travels with its request

    def fetch(self, block: int, /) -> bytes:
        """Nothing lies in a block."""
        return b""

    def free(self, block: int, /) -> None:
        """Nothing lies in a block."""

    def now_ns(self) -> int:
        """The clock of ``seats``."""
        return monotonic_ns()

    # ---- the end

    def close(self) -> None:
        """All is done: the overseer may end."""
        self.is_closed = True
        self.alert()

    def release(self) -> None:
        """All entries have their answers: nothing is taken or handed out any more."""
        with self._lock:
            self._released = True
            for flight in self._flights.values():
                flight.is_over = True
            self._unwanted.extend(self._busy.values())
            self._queue.clear()
            self._flights.clear()
            self._landed.clear()
        self._bell.ring()
        for waiter in [*self._waiters]:
            waiter.bell.ring()

    def join(self, seconds: float) -> bool:
        """Wait for the relay's thread, which the engine may hold up; whether it has ended."""
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(seconds)
        return not self._thread.is_alive()
