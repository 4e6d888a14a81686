"""The workers of a pool: who sits where, and where each is in its life.

No decisions here: those are ``staffing``'s, and the supervisor carries them out.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Protocol

from procession._engine.policy import Fate
from procession._engine.staffing import Event, Life, after
from procession._launch.methods import Child

SERVE: Final = 0
BENCH: Final = 1
LEAVE: Final = 2

_DUTIES: Final[Mapping[Life, int]] = {
    Life.STARTING: SERVE,
    Life.WARMING: BENCH,
    Life.BENCH: BENCH,
    Life.SERVING: SERVE,
    Life.RETIRING: SERVE,
    Life.LEAVING: LEAVE,
}

MOST_SEATS: Final = 4000
"""As many as the core can have."""

FEWEST_SEATS: Final = 256


def seats_for(workers: int) -> int:
    """How many seats a pool of so many workers gets: room to grow, and for successors."""
    return min(MOST_SEATS, max(FEWEST_SEATS, 4 * workers))


class Duties(Protocol):
    """What the crew needs of the channel."""

    def duty(self, seat: int, what: int, /) -> None:
        """Tell who sits there, or will, what the seat is for."""


class Worker:
    """A pool's process, as its parent sees it.

    Attributes:
        life: where it is in its life.
        ready_at: when it became ready, in nanoseconds of the channel's clock; 0 before.
        fate: why it was killed by us; None as long as it was not.
    """

    __slots__ = ("_child", "fate", "life", "ready_at", "seat")

    def __init__(self, seat: int, life: Life) -> None:
        self.seat = seat
        self.life = life
        self.ready_at = 0
        self.fate: Fate | None = None
        self._child: Child | None = None

    @property
    def is_started(self) -> bool:
        """Whether its process is known."""
        return self._child is not None

    @property
    def child(self) -> Child:
        """Its process, once it is started."""
        assert self._child is not None
        return self._child


class Crew:
    """Who sits where.

    Hired and dismissed by one thread, the supervisor; all other changes are made under the
    engine's lock.

    Args:
        channel: told what each seat is for.
        capacity: how many seats there are.
        start: starts a worker for a seat, and tells of it before an interrupt can come in.
            Raises OSError when the system has no room.
    """

    def __init__(
        self,
        channel: Duties,
        capacity: int,
        start: Callable[[int, Callable[[Child], object]], object],
    ) -> None:
        self.capacity = capacity
        self._channel = channel
        self._start = start
        self._seats: dict[int, Worker] = {}

    def hire(self, seat: int, event: Event = Event.HIRED) -> Worker:
        """Start a worker for an empty seat; by HIRED_FOR_BENCH, it is to wait there.

        Raises:
            OSError: the system has no room for one more process, or no descriptor.
        """
        worker = Worker(seat, after(Life.EMPTY, event))
        self._channel.duty(seat, _DUTIES[worker.life])

        def seated(child: Child) -> None:
            worker._child = child

        try:
            self._seats[seat] = worker  # before it can say that it is ready
            self._start(seat, seated)
        finally:
            if worker._child is None:
                self._seats.pop(seat, None)
        return worker

    def happened(self, worker: Worker, event: Event) -> None:
        """Something happened to a worker, or is decided; it is told what concerns it."""
        before = worker.life
        worker.life = after(before, event)
        duty = _DUTIES.get(worker.life)
        if duty is not None and duty != _DUTIES[before]:
            self._channel.duty(worker.seat, duty)

    def dismiss(self, worker: Worker) -> None:
        """A worker has ended: empty its seat, give its descriptors back."""
        worker.life = after(worker.life, Event.ENDED)
        del self._seats[worker.seat]
        worker.child.close()

    def at(self, seat: int) -> Worker | None:
        """Who sits there, or is about to."""
        return self._seats.get(seat)

    def lives(self) -> dict[int, Life]:
        """The states of the seats that are not empty."""
        return {seat: worker.life for seat, worker in list(self._seats.items())}

    def signal(self, signum: signal.Signals) -> None:
        """Send all of them a signal."""
        for worker in self:
            worker.child.send_signal(signum)

    def __iter__(self) -> Iterator[Worker]:
        return iter([worker for worker in list(self._seats.values()) if worker.is_started])

    def __bool__(self) -> bool:
        return bool(self._seats)
