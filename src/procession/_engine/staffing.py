"""The life of a worker, and who is to be hired or to go. Pure: no clock, no threads, no I/O.

A worker's life is a table, ``LIFE``: its state and what happened give its next state. The plan of
a crew, ``plan``, looks at all states at once and says what is to be done now; it says nothing when
all is as it should be, so it can be asked at any time.

A *place* is the right to run tasks; a pool of n workers has n of them, so it never runs more than n
tasks at once. Who leaves keeps its place until it has ended, for it may still be at its last task;
who was killed does not. Who waits on the bench has none. So a worker that is to be replaced works
on until its successor is warm, then leaves, and the successor takes the place over.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from procession._engine.policy import PoolState


class Life(Enum):
    """Where a worker is in its life, and so its seat."""

    EMPTY = "empty"
    STARTING = "starting, to serve"
    WARMING = "starting, for the bench"
    BENCH = "on the bench"
    SERVING = "serving"
    RETIRING = "retiring"
    LEAVING = "leaving"
    DOOMED = "doomed"

    # An enum's own hash is slow, and these are keys.
    __hash__ = object.__hash__


class Event(Enum):
    """What happens to a worker."""

    HIRED = "hired to serve"
    HIRED_FOR_BENCH = "hired for the bench"
    READY = "says that it is ready"
    ACTIVATED = "activated"
    RETIRES = "is to be replaced"
    LET_GO = "let go"
    KILLED = "killed by us"
    ENDED = "ended"

    __hash__ = object.__hash__


MEANING: Final[Mapping[Life, str]] = {
    Life.EMPTY: "nobody sits there",
    Life.STARTING: "its process starts; it serves as soon as it is ready",
    Life.WARMING: "its process starts; it is to wait for a place",
    Life.BENCH: "ready, waits for a place",
    Life.SERVING: "takes tasks",
    Life.RETIRING: "takes tasks until its successor is ready, or until it ends by itself",
    Life.LEAVING: "takes no more tasks, and ends when it has done its last one",
    Life.DOOMED: "was sent SIGKILL, and has not ended yet",
}

PLACED: Final = frozenset({Life.STARTING, Life.SERVING, Life.RETIRING, Life.LEAVING})
"""Those that have a place."""

LIFE: Final[Mapping[tuple[Life, Event], Life]] = {
    (Life.EMPTY, Event.HIRED): Life.STARTING,
    (Life.EMPTY, Event.HIRED_FOR_BENCH): Life.WARMING,
    (Life.STARTING, Event.READY): Life.SERVING,
    (Life.STARTING, Event.LET_GO): Life.LEAVING,
    (Life.STARTING, Event.KILLED): Life.DOOMED,
    (Life.STARTING, Event.ENDED): Life.EMPTY,
    (Life.WARMING, Event.READY): Life.BENCH,
    (Life.WARMING, Event.ACTIVATED): Life.STARTING,
    (Life.WARMING, Event.LET_GO): Life.LEAVING,
    (Life.WARMING, Event.KILLED): Life.DOOMED,
    (Life.WARMING, Event.ENDED): Life.EMPTY,
    (Life.BENCH, Event.ACTIVATED): Life.SERVING,
    (Life.BENCH, Event.RETIRES): Life.LEAVING,
    (Life.BENCH, Event.LET_GO): Life.LEAVING,
    (Life.BENCH, Event.KILLED): Life.DOOMED,
    (Life.BENCH, Event.ENDED): Life.EMPTY,
    (Life.SERVING, Event.RETIRES): Life.RETIRING,
    (Life.SERVING, Event.LET_GO): Life.LEAVING,
    (Life.SERVING, Event.KILLED): Life.DOOMED,
    (Life.SERVING, Event.ENDED): Life.EMPTY,
    (Life.RETIRING, Event.LET_GO): Life.LEAVING,
    (Life.RETIRING, Event.KILLED): Life.DOOMED,
    (Life.RETIRING, Event.ENDED): Life.EMPTY,
    (Life.LEAVING, Event.KILLED): Life.DOOMED,
    (Life.LEAVING, Event.ENDED): Life.EMPTY,
    (Life.DOOMED, Event.ENDED): Life.EMPTY,
}
"""What is not in it can not happen, but for late news: see ``after``."""

NEWS: Final = frozenset({Event.READY, Event.RETIRES})
"""What workers say of themselves. It may come late or twice, and changes nothing then."""


def after(life: Life, event: Event) -> Life:
    """The next state.

    Raises ValueError if that can not happen in this state.
    """
    following = LIFE.get((life, event))
    if following is not None:
        return following
    if event in NEWS:
        return life
    raise ValueError(f"a worker's seat that is {life.value!r} can not be {event.value!r}")


class Step(Enum):
    """What the supervisor is to do."""

    HIRE = "hire a worker to serve"
    HIRE_FOR_BENCH = "hire a worker for the bench"
    ACTIVATE = "have it serve"
    LET_GO = "let it go"
    BREAK_POOL = "break the pool"


class Order(NamedTuple):
    """A step, and the seat it concerns; -1 for the whole pool."""

    step: Step
    seat: int = -1


@dataclass(frozen=True, slots=True)
class Situation:
    """What a plan depends on.

    Attributes:
        seats: the states of the seats that are not empty.
        capacity: how many seats there are.
        wanted: how many workers are to serve.
        wants_spare: whether one more shall be warm on the bench.
        may_hire_spare: False while whoever waits for what others do is to be served first.
        pool: the pool's state.
        work_left: whether any task has no outcome yet.
        false_starts: how many workers ended before they were ready, without one that got ready
            in between.
        failed_hires: how often the system had no room for a worker, likewise.
        patience: how many of both are borne.
        may_hire: False while it waits after a failed one.
    """

    seats: Mapping[int, Life]
    capacity: int
    wanted: int
    wants_spare: bool
    may_hire_spare: bool
    pool: PoolState
    work_left: bool
    false_starts: int
    failed_hires: int
    patience: int
    may_hire: bool


def plan(now: Situation) -> list[Order]:
    """What is to be done, in this order."""
    if now.pool not in (PoolState.RUNNING, PoolState.CLOSING):
        return []
    # Whoever is there may still be served by who is alive; without anybody, both count.
    failures = now.false_starts + (0 if now.seats else now.failed_hires)
    if failures > now.patience:
        return [Order(Step.BREAK_POOL)]
    if now.pool is PoolState.CLOSING and not now.work_left:
        return []
    return _Planner(now).orders


class _Planner:
    """One plan in the making."""

    def __init__(self, now: Situation) -> None:
        self.orders: list[Order] = []
        of: dict[Life, list[int]] = {life: [] for life in Life}
        for seat in sorted(now.seats):
            of[now.seats[seat]].append(seat)
        self._serving = sorted(of[Life.STARTING] + of[Life.SERVING])
        self._retiring = of[Life.RETIRING]
        self._leaving = len(of[Life.LEAVING])
        # In the order in which they are activated: who is ready first.
        self._bench, self._warming = of[Life.BENCH], of[Life.WARMING]
        self._shrink(now)
        self._fill_from_bench(now)
        self._relieve(now)
        self._fit_bench(now)

    def _shrink(self, now: Situation) -> None:
        """Too many: those who were to retire go first, then the highest seats."""
        while len(self._serving) + len(self._retiring) > now.wanted:
            going = self._retiring or self._serving
            self._let_go([going.pop()])
            self._leaving += 1

    def _fill_from_bench(self, now: Situation) -> None:
        reserve = self._bench + self._warming
        for seat in reserve[: max(0, self._free_places(now))]:
            self.orders.append(Order(Step.ACTIVATE, seat))
            self._serving.append(seat)
        self._bench = [seat for seat in self._bench if seat not in self._serving]
        self._warming = [seat for seat in self._warming if seat not in self._serving]

    def _relieve(self, now: Situation) -> None:
        """Who retires may go as soon as somebody is warm who waits for no other place."""
        awaited = min(self._leaving, now.wanted - len(self._serving) - len(self._retiring))
        ready = max(0, len(self._bench) - awaited)
        self._let_go(self._retiring[:ready])
        self._leaving += len(self._retiring[:ready])
        del self._retiring[:ready]

    def _fit_bench(self, now: Situation) -> None:
        """Somebody for each place, now or soon, and the spare; nobody else."""
        target = max(0, now.wanted - len(self._serving)) + now.wants_spare
        missing = target - len(self._bench) - len(self._warming)
        if missing < 0:
            self._let_go((self._bench + self._warming)[missing:])
        elif now.may_hire:
            free = (seat for seat in range(now.capacity) if seat not in now.seats)
            places = self._free_places(now)
            missing -= now.wants_spare and not now.may_hire_spare
            for hired, seat in zip(range(missing), free, strict=False):
                step = Step.HIRE if hired < places else Step.HIRE_FOR_BENCH
                self.orders.append(Order(step, seat))

    def _free_places(self, now: Situation) -> int:
        return now.wanted - len(self._serving) - len(self._retiring) - self._leaving

    def _let_go(self, seats: Iterable[int]) -> None:
        self.orders.extend(Order(Step.LET_GO, seat) for seat in seats)


def is_settled(seats: Collection[Life]) -> bool:
    """Whether nothing is on its way that will call for another plan."""
    return not set(seats) - {Life.SERVING, Life.BENCH}
