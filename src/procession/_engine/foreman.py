"""Keeps the crew as the plan wants it: hires, activates, lets go. The supervisor's.

What is wanted changes with time, too: a worker can become too old, and a crew that has nothing to
do can become small. All moments are on the channel's clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import sleep
from typing import TYPE_CHECKING

from procession._engine.crew import Crew, Worker
from procession._engine.deadlines import SECOND, nanoseconds
from procession._engine.ending import Cause
from procession._engine.policy import Fate, Held
from procession._engine.staffing import Event, Life, Order, Situation, Step, is_settled, plan
from procession._launch.handle import STATUS_LOST
from procession.errors.pool import describe_exit

if TYPE_CHECKING:
    from procession._engine.engine import Engine
    from procession._engine.hiring import Terms

RETRY = SECOND // 10
"""Until a worker that could not be started is tried again; longer each time, while others serve."""

LONGEST_RETRY = 5 * SECOND

SHORT_LIFE = SECOND
"""Who ends itself within this time from when it was ready, without a task and unasked, does so for
a reason that its successor will have, too (a library's thread that calls ``exit``, say)."""

BORNE_SHORT_LIVES = 3
"""So many in a row (as many as there are workers, at least) are replaced at once; then it takes
longer each time, until a task gets its outcome, or they are forgotten."""

FORGOTTEN = 2 * LONGEST_RETRY
"""After so long without another short life the next one is the first."""

PATIENCE = 100
"""False starts in a row (more than twice the workers, at least) that are borne."""

OWN_FAULT = 25
"""For how many it counts if a worker was not killed, but ended itself: so will the next."""

FEWEST = 1
"""Workers that are kept, however long there is nothing to do."""

MOST_AT_ONCE = 4
"""Not more than one in so many is replaced for its age at the same time."""

COURTESY = 0.0002
"""Seconds before anybody is hired. A fork keeps the interpreter to itself, and the longer the
larger this process is; who waits for what was just found out, a death for one, gets it before."""

SPARE_AFTER = SECOND // 50
"""From the death of a worker until a new spare is hired. It is for the next time; a fork now would
be in the way of whoever is told of this death, and of the one who took over."""

_HIRING = {Step.HIRE: Event.HIRED, Step.HIRE_FOR_BENCH: Event.HIRED_FOR_BENCH}


class Foreman:
    """Looks after the numbers of one crew.

    Args:
        hired: told of each worker that was started.

    Attributes:
        wants_spare: whether a worker is to be kept warm on the bench.
        is_small: whether the crew has become small because it had nothing to do.
        idle_since: when there was something to do for the last time.
    """

    def __init__(
        self, engine: Engine, crew: Crew, terms: Terms, hired: Callable[[Worker], object]
    ) -> None:
        self._engine = engine
        self._crew = crew
        self._hired = hired
        self._max_age = None if terms.max_age is None else nanoseconds(terms.max_age)
        idle = terms.idle_timeout
        self._idle_timeout = None if idle is None else nanoseconds(idle)
        self.wants_spare = False
        self.is_small = False
        self.idle_since = engine.channel.now_ns()
        self._last_number = 0  # of all tasks, when that was looked at
        self._is_patient = True
        self._false_starts = 0
        self._failed_hires = 0
        self._short_lives = 0
        self._settled = 0  # tasks, at the last one
        self._forget_at = 0
        self._slow_until: int | None = None  # because of them
        self._retry_at: int | None = None
        self._spare_at: int | None = None
        self._failure: Cause = None  # what to say if the pool breaks now

    # ---- news, under the engine's lock

    def ready(self, worker: Worker) -> None:
        """A worker has initialised itself."""
        self._crew.happened(worker, Event.READY)
        worker.ready_at = self._engine.channel.now_ns()
        self._false_starts = self._failed_hires = 0
        if self._is_patient:
            self._failure = None

    def initializer_failed(self, error: bytes | BaseException) -> None:
        """An initializer raised; see the supervisor's."""
        self._failure = error
        self._is_patient = False

    def ended(self, worker: Worker, fate: Fate, held: Held) -> None:
        """A worker has ended, and was buried. `held`: whether it had a task."""
        now = self._engine.channel.now_ns()
        code = worker.child.poll()
        itself = code is not None and 0 <= code != STATUS_LOST
        if worker.life in (Life.STARTING, Life.WARMING):
            self._false_starts += OWN_FAULT if itself else 1
            if self._is_patient:
                how = describe_exit(code)
                self._failure = RuntimeError(
                    f"worker {worker.child.pid} ended before it was ready: {how}"
                )
        if fate is not Fate.RETIRED and worker.ready_at:
            self._spare_at = now + SPARE_AFTER
        unasked = itself and worker.life in (Life.SERVING, Life.BENCH) and worker.fate is None
        self._crew.dismiss(worker)
        if self._retry_at is not None and not self._crew:
            self._retry_at = now  # nobody is left: it is urgent now
        self._slow_until = None
        if unasked and held is Held.NOTHING and now < worker.ready_at + SHORT_LIFE:
            self._count_short_life(now)

    def _count_short_life(self, now: int) -> None:
        ledger = self._engine.ledger
        settled = ledger.last - len(ledger.open)
        if settled != self._settled or now >= self._forget_at:
            self._short_lives = 0
        self._short_lives += 1
        self._settled, self._forget_at = settled, now + FORGOTTEN
        times = self._short_lives - max(BORNE_SHORT_LIVES, self._engine.workers)
        if times > 0:
            self._slow_until = now + _pause(times)

    # ---- looking around

    def look(self, now: int) -> None:
        """Do what is to be done now."""
        self._look_at_ages(now)
        self._look_for_idleness(now)
        self._follow_plan(now)

    def next_looks(self) -> Iterator[int]:
        """When to look again, at the latest."""
        if self._retry_at is not None:
            yield self._retry_at
        if self._slow_until is not None:
            yield self._slow_until
        if self._spare_at is not None and self.wants_spare:
            yield self._spare_at
        if self._idle_timeout is not None and not self.is_small:
            yield self.idle_since + self._idle_timeout
        if self._max_age is not None and not self._is_replacing():
            for worker in self._aging():
                yield worker.ready_at + self._max_age

    @property
    def is_settled(self) -> bool:
        """Whether nobody starts or leaves."""
        return is_settled(self._crew.lives().values())

    def _aging(self) -> list[Worker]:
        return [one for one in self._crew if one.life in (Life.SERVING, Life.BENCH)]

    def _is_replacing(self) -> bool:
        """Whether as many are being replaced as may be at once."""
        lives = self._crew.lives().values()
        going = sum(life in (Life.RETIRING, Life.LEAVING) for life in lives)
        return going >= max(1, self._engine.workers // MOST_AT_ONCE)

    def _look_at_ages(self, now: int) -> None:
        if self._max_age is None:
            return
        with self._engine.lock:
            for worker in sorted(self._aging(), key=lambda worker: worker.ready_at):
                if now < worker.ready_at + self._max_age or self._is_replacing():
                    break
                self._crew.happened(worker, Event.RETIRES)

    def _look_for_idleness(self, now: int) -> None:
        engine = self._engine
        number = engine.ledger.last
        if number != self._last_number or not engine.is_idle:
            self._last_number = number
            self.idle_since = now
        elif (
            self._idle_timeout is not None
            and now >= self.idle_since + self._idle_timeout
            and engine.is_running()
        ):
            engine.is_shrunk = self.is_small = True
            if not self._engine.is_idle:  # who came right now may not have seen it
                self.grow()

    def grow(self) -> None:
        """There is something to do again."""
        self.is_small = False
        self.idle_since = self._engine.channel.now_ns()

    def _follow_plan(self, now: int) -> None:
        engine, crew = self._engine, self._crew
        if self._retry_at is not None and now >= self._retry_at:
            self._retry_at = None
        if self._slow_until is not None and now >= self._slow_until:
            self._slow_until = None
        if self._spare_at is not None and now >= self._spare_at:
            self._spare_at = None
        with engine.lock:
            orders = plan(self._situation())
            for order in orders:
                worker = crew.at(order.seat)
                if order.step is Step.ACTIVATE and worker is not None:
                    crew.happened(worker, Event.ACTIVATED)
                elif order.step is Step.LET_GO and worker is not None:
                    crew.happened(worker, Event.LET_GO)
        hirings = [order for order in orders if order.step in _HIRING]
        if len(orders) == 1 and orders[0].step is Step.BREAK_POOL:
            engine.break_pool(self._failure)
        elif hirings:
            sleep(COURTESY)
            for order in hirings:
                if not self._hire(order, now):
                    break

    def _situation(self) -> Situation:
        engine = self._engine
        lives = self._crew.lives()
        return Situation(
            seats=lives,
            capacity=self._crew.capacity,
            wanted=min(FEWEST, engine.workers) if self.is_small else engine.workers,
            wants_spare=self.wants_spare and not self.is_small,
            may_hire_spare=self._spare_at is None and Life.DOOMED not in lives.values(),
            pool=engine.state,
            work_left=not engine.is_idle,
            false_starts=self._false_starts,
            failed_hires=self._failed_hires,
            patience=max(PATIENCE, 2 * engine.workers) if self._is_patient else 0,
            may_hire=self._retry_at is None and self._slow_until is None,
        )

    def _hire(self, order: Order, now: int) -> bool:
        # Without the lock: a start takes its time, and nobody else changes an empty seat.
        try:
            worker = self._crew.hire(order.seat, _HIRING[order.step])
        except OSError as error:
            if self._is_patient:
                self._failure = error
            self._failed_hires += 1
            self._retry_at = now + _pause(self._failed_hires if self._crew else 1)
            return False
        self._hired(worker)
        return True


def _pause(times: int) -> int:
    """Until the next try; longer each time."""
    return min(RETRY << min(times - 1, 16), LONGEST_RETRY)
