"""The thread that looks after a pool on another engine; in the supervisor's place.

It sleeps until something is to be done: a worker was lost, a task is late, the pool ends. It runs
no code of the user's, and calls the engine only to ask how many workers there are, and at the very
end: what may take its time is done by the relay's thread.
"""

from __future__ import annotations

import contextlib
import threading
import traceback
from typing import TYPE_CHECKING

from procession._backends.abilities import Ability
from procession._backends.bells import Bell
from procession._backends.refusing import refuse
from procession._backends.seam import Backend, Loss
from procession._engine.deadlines import SECOND, Outlook, Row, look
from procession._engine.policy import Ended, Fate, PoolState
from procession._threads import Thread
from procession.errors.backend import EngineLost

if TYPE_CHECKING:
    from procession._backends.engine import BorrowedEngine
    from procession._backends.flights import Flight
    from procession._backends.relay import Relay

STEP = 0.5
"""Seconds after which it looks around in any case, while there is work."""

LONGEST_STEP = 16.0
"""It is doubled up to this while there is nothing to do."""

LONGEST_WAIT = 60.0

COURTESY = 1.0
"""Seconds that the relay's thread gets to come back from the engine, at the end."""


class Overseer:
    """Looks after one engine.

    Args:
        most: workers that were asked for; None for as many as the engine has.
    """

    def __init__(
        self, engine: BorrowedEngine, backend: Backend, bell: Bell, most: int | None
    ) -> None:
        self._engine = engine
        self._backend = backend
        self._bell = bell
        self._most = most
        self._can_stop = Ability.STOP in backend.abilities
        self._step = STEP
        self._look_at: int | None = None
        self._is_over = False
        self._thread = Thread(target=self.run, name="procession-overseer", daemon=True)

    @property
    def _relay(self) -> Relay:
        return self._engine.relay

    # ---- for others

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Have it look around now."""
        self._bell.ring()

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end. Not from its own thread."""
        thread = self._thread
        if thread is not threading.current_thread() and thread.ident is not None:
            thread.join(LONGEST_WAIT if timeout is None else timeout)
            while timeout is None and thread.is_alive():
                thread.join(LONGEST_WAIT)

    end = join

    def hurry(self) -> None:
        """What runs elsewhere is never asked first."""

    def resize(self, workers: int) -> None:
        """Have so many workers, where the engine can."""
        refuse(self._backend, Ability.RESIZE, f"resize({workers})")

    def want_spare(self) -> None:
        """The engine sees to its workers."""

    def watch(self, timeout: float) -> None:
        """It is told when such a task is under way."""

    def work_came(self) -> None:
        """The engine sees to its workers."""

    def kill_task(self, seat: int, number: int, item: int | None, fate: Fate) -> bool:
        """End what is at a task: it is stopped, or given up. False if it is done already."""
        with self._engine.lock:
            if fate is Fate.CANCELLED:
                return self._relay.drop(seat, number)
            ended = Ended(None, None, fate, runs_on=not self._can_stop)
            self._engine.bury(seat, ended)
        return True

    def pids(self) -> set[int]:
        """None is a process of ours."""
        return set()

    @property
    def is_started(self) -> bool:
        """Whether its thread was started."""
        return self._thread.ident is not None

    @property
    def is_watching(self) -> bool:
        """Whether its end has not come yet."""
        return not self._is_over

    # ---- news of workers, under the engine's lock

    def worker_is_ready(self, seat: int) -> None:
        """The engine sees to its workers."""

    def worker_retires(self, seat: int) -> None:
        """The engine sees to its workers."""

    def initializer_failed(self, error: bytes | BaseException) -> None:
        """An initializer raised (encoded, or as it is): it will do so again."""
        self._engine.break_pool(error)

    # ---- the thread

    def run(self) -> None:
        """Look after it to the end."""
        engine = self._engine
        try:
            while not self.look_around():
                self._sleep()
        except BaseException as error:
            # A mistake of ours: nobody shall wait for what can not come any more.
            traceback.print_exc()
            engine.break_pool(error)
        finally:
            is_done = engine.state is PoolState.CLOSING and self._relay.is_clear
            engine.finish()
            is_back = self._relay.join(COURTESY)
            with contextlib.suppress(Exception):  # it may be gone
                self._backend.close(kill=not (is_done and is_back))
            self._is_over = True

    def look_around(self) -> bool:
        """Do all there is to do now; whether all is over."""
        engine, relay = self._engine, self._relay
        self._count_workers()
        engine.collect()
        while relay.losses:
            self._bury(*relay.losses.popleft())
        if relay.refusal is not None:
            self._break(Loss(_words(relay.refusal), is_engine=True), relay.refusal)
        if engine.state in (PoolState.TERMINATING, PoolState.BROKEN):
            engine.fail_all()
            return True
        self._look_at_clock()
        return engine.state is PoolState.CLOSING and relay.is_closed and engine.is_idle

    def _count_workers(self) -> None:
        engine = self._engine
        try:
            there = max(1, self._backend.workers())
        except Exception:  # it can not be reached now; what is under way will tell
            return
        engine.workers = there if self._most is None else min(self._most, there)
        has_more = self._backend.has_more or there > engine.workers
        self._relay.resize(engine.workers, has_more=has_more)

    def _sleep(self) -> None:
        is_quiet = self._engine.is_idle
        self._step = min(2 * self._step, LONGEST_STEP) if is_quiet else STEP
        seconds = self._step
        if self._look_at is not None:
            seconds = min(seconds, (self._look_at - self._relay.now_ns()) / SECOND)
        self._bell.sleep(seconds)

    def _look_at_clock(self) -> None:
        for late in self._outlook().due:
            self._relay.correct(late.seat)  # it may have been begun later than it was sent
        outlook = self._outlook()
        for late in outlook.due:
            self.kill_task(late.seat, late.number, late.item, Fate.TIMED_OUT)
        self._look_at = outlook.next

    def _outlook(self) -> Outlook:
        rows = [Row(*row) for row in self._relay.seats()]
        return look(rows, self._engine.options_of, self._relay.now_ns())

    def _bury(self, flight: Flight, loss: Loss) -> None:
        engine = self._engine
        error = flight.outcome
        if loss.is_engine:
            self._break(loss, error if isinstance(error, BaseException) else None)
            return
        ended = Ended(loss.pid, None, Fate.DIED, cause=loss.cause, node=loss.node)
        with engine.lock:
            engine.bury(flight.seat, ended)

    def _break(self, loss: Loss, error: BaseException | None) -> None:
        lost = EngineLost(
            f"{self._backend.name} can run nothing any more, and the pool with it: {loss.cause}. "
            "Make a new pool, of an engine that works"
        )
        lost.__cause__ = error
        self._engine.break_pool(lost)


def _words(error: BaseException) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
