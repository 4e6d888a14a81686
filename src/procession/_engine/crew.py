"""The workers of a pool: started, watched, ended. No decisions here: those are the policy's."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

from procession._launch.methods import Child


class Worker:
    """A pool's process, as its parent sees it."""

    __slots__ = ("child", "ready", "seat")

    def __init__(self, seat: int, child: Child) -> None:
        self.seat = seat
        self.child = child
        self.ready = False


class Crew:
    """Who sits where.

    Args:
        seats: how many workers there may be.
        start: starts a worker for a seat, and tells of it before an interrupt can come in.
            Raises OSError when the system has no room.
    """

    def __init__(
        self, seats: int, start: Callable[[int, Callable[[Child], object]], object]
    ) -> None:
        self._start = start
        self._seats: list[Worker | None] = [None] * seats

    def hire(self, seat: int) -> Worker:
        """Start a worker for an empty seat.

        Raises:
            OSError: the system has no room for one more process, or no descriptor.
        """

        def seated(child: Child) -> None:
            self._seats[seat] = Worker(seat, child)

        self._start(seat, seated)
        worker = self._seats[seat]
        assert worker is not None
        return worker

    def empty_seats(self) -> list[int]:
        """The seats without a worker."""
        return [seat for seat, worker in enumerate(self._seats) if worker is None]

    def dismiss(self, worker: Worker) -> None:
        """A worker has ended: empty its seat, give its descriptors back."""
        self._seats[worker.seat] = None
        worker.child.close()

    def at(self, seat: int) -> Worker | None:
        """Who sits there."""
        return self._seats[seat]

    def ended(self) -> list[Worker]:
        """Those that have ended and are not dismissed yet."""
        return [worker for worker in self if worker.child.poll() is not None]

    def signal(self, signum: signal.Signals) -> None:
        """Send all of them a signal."""
        for worker in self:
            worker.child.send_signal(signum)

    def __iter__(self) -> Iterator[Worker]:
        return iter([worker for worker in self._seats if worker is not None])

    def __bool__(self) -> bool:
        return any(worker is not None for worker in self._seats)
