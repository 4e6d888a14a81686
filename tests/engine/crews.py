"""An engine without processes, for tests of the supervisor: the test is its workers, and its clock.

A supervisor in such a test is asked to look around; its thread is not started.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar, NamedTuple

import pytest

from procession._engine import watch
from procession._engine.crew import Crew
from procession._engine.deadlines import SECOND, Row
from procession._engine.hiring import Terms
from procession._engine.policy import Ended, Held, PoolState
from procession._engine.staffing import Life
from procession._engine.supervisor import Supervisor
from procession._launch.surroundings import Surroundings
from procession._worker.diary import Diary


class Limits(NamedTuple):
    """What a task's options say about its time."""

    timeout: float | None = None
    grace: float | None = None


class FakeChild:
    """A process that is only said to exist; it ends when the test says so."""

    _last_pid = 100_000

    def __init__(self) -> None:
        FakeChild._last_pid += 1
        self.pid = FakeChild._last_pid
        self.sentinel, self._life = os.pipe()
        self.exitcode: int | None = None
        self.signals: list[int] = []
        self.dies_of = frozenset({signal.SIGKILL})

    def end(self, exitcode: int) -> None:
        """Be dead."""
        if self.exitcode is None:
            self.exitcode = exitcode
            os.close(self._life)

    def poll(self) -> int | None:
        """Whether it is."""
        return self.exitcode

    def wait(self, timeout: float | None = None) -> int | None:
        """As poll(): nobody sleeps here."""
        return self.exitcode

    def send_signal(self, signum: int) -> None:
        """Note it; a deadly one ends it."""
        self.signals.append(signum)
        if signum in self.dies_of:
            self.end(-signum)

    def close(self) -> None:
        """Give the sentinel back."""
        assert self.exitcode is not None
        os.close(self.sentinel)


class FakeChannel:
    """Says what the test has put in; keeps what the supervisor says."""

    def __init__(self, bell: int) -> None:
        self._bell = bell
        self.now = 1000 * SECOND
        self.rows: list[Row] = []
        self.duties: dict[int, int] = {}
        self.dooms: list[tuple[int, int, int | None]] = []
        self.stops: list[tuple[int, int, int | None]] = []
        self.pardons: list[int] = []
        self.alerts = 0

    def now_ns(self) -> int:
        """The test's clock."""
        return self.now

    def seats(self) -> list[Row]:
        """The claims."""
        return self.rows

    def duty(self, seat: int, what: int) -> None:
        """Keep it."""
        self.duties[seat] = what

    def doom(self, seat: int, number: int, item: int | None) -> bool:
        """True if it is in the snapshot."""
        for row in self.rows:
            if (row.seat, row.number) == (seat, number) and item in (None, row.item):
                self.dooms.append((seat, number, item))
                return True
        return False

    def pardon(self, seat: int) -> None:
        """Keep it."""
        self.pardons.append(seat)

    def stop(self, seat: int, number: int, item: int | None = None) -> bool:
        """Keep it."""
        self.stops.append((seat, number, item))
        return True

    def alert(self) -> None:
        """Ring the supervisor's bell."""
        self.alerts += 1
        os.eventfd_write(self._bell, 1)


class FakeLedger:
    """How many tasks there have been."""

    last = 0
    open: ClassVar[dict[int, Any]] = {}


class FakeSharing:
    """Says when it wants to be asked again.

    Attributes:
        times: how often it was asked.
    """

    def __init__(self) -> None:
        self.times = 0
        self.again: float | None = None

    def look(self, rows: list[Row]) -> float | None:
        """Count it."""
        self.times += 1
        return self.again


class FakeEngine:
    """What a supervisor needs of the engine."""

    supervisor: Supervisor

    def __init__(self, workers: int) -> None:
        self.bell = os.eventfd(0)
        self.workers = workers
        self.channel = FakeChannel(self.bell)
        self.ledger = FakeLedger()
        self.lock = threading.RLock()
        self.state = PoolState.RUNNING
        self.is_idle = True
        self.is_shrunk = False
        self.news: deque[Callable[[], object]] = deque()
        self.buried: list[tuple[int, Ended]] = []
        self.causes: list[Any] = []
        self.limits: dict[int, Limits] = {}
        self.sharing = FakeSharing()
        self.is_finished = False

    def collect(self) -> None:
        """Hand out what is new."""
        while self.news:
            self.news.popleft()()

    def bury(self, seat: int, ended: Ended) -> Held:
        """Keep it."""
        self.buried.append((seat, ended))
        rows = self.channel.rows
        self.channel.rows = [row for row in rows if row.seat != seat]
        return Held.NOTHING if rows == self.channel.rows else Held.STARTED

    def options_of(self, number: int) -> Limits | None:
        """As the test has put in."""
        return self.limits.get(number)

    def is_running(self) -> bool:
        """Whether it takes more work."""
        return self.state is PoolState.RUNNING

    def break_pool(self, cause: Any) -> None:
        """Keep why."""
        self.causes.append(cause)
        self.state = PoolState.BROKEN

    def fail_all(self) -> None:
        """Nothing is left."""
        self.is_idle = True

    def finish(self) -> None:
        """The end."""
        self.is_finished = True


class Pool:
    """A supervisor with its crew, and all that is said to surround them.

    Attributes:
        no_room: so many times, a worker can not be started.
        children: all that were ever started, by seat; the last one of each.
    """

    def __init__(self, workers: int, **terms: Any) -> None:
        self.engine = FakeEngine(workers)
        self.channel = self.engine.channel
        self.children: dict[int, FakeChild] = {}
        self.started = 0
        self.no_room = 0
        self.diary = Diary()
        self.crew = Crew(self.channel, 16, self._start)
        engine: Any = self.engine
        conditions = Terms(surroundings=Surroundings(), launch=self._never, **terms)
        self.supervisor = Supervisor(engine, self.crew, self.engine.bell, conditions, self.diary)
        self.engine.supervisor = self.supervisor

    def _never(self, *_: Any, **__: Any) -> None:
        raise AssertionError

    def _start(self, seat: int, known: Callable[[Any], object]) -> None:
        if self.no_room:
            self.no_room -= 1
            raise OSError(11, "no room")
        self.started += 1
        self.children[seat] = child = FakeChild()
        known(child)

    # ---- what happens

    def look(self, seconds: float = 0) -> bool:
        """Let time go by, and have the supervisor look around until it has nothing more to do."""
        self.channel.now += round(seconds * SECOND)
        is_over = self.supervisor.look_around()
        while not is_over and (self.engine.news or self._is_rung()):
            is_over = self.supervisor.look_around()
        return is_over

    def _is_rung(self) -> bool:
        try:
            os.set_blocking(self.engine.bell, False)
            os.eventfd_read(self.engine.bell)
        except BlockingIOError:
            return False
        finally:
            os.set_blocking(self.engine.bell, True)
        return True

    def ready(self, *seats: int) -> None:
        """These workers say that they are ready."""
        for seat in seats:
            self.engine.news.append(partial(self.supervisor.worker_is_ready, seat))

    def retires(self, seat: int) -> None:
        """This worker says that it is to be replaced."""
        self.engine.news.append(partial(self.supervisor.worker_retires, seat))

    def serve(self) -> None:
        """Have the first crew started, and ready."""
        self.look()
        self.ready(*self.crew.lives())
        self.look()

    def runs(self, seat: int, number: int, *, item: int = 0, since: int | None = None) -> None:
        """A worker is at a task, from now on."""
        at = self.channel.now if since is None else since
        self.channel.rows.append(Row(seat, number, item + 1, 100, item, at, at))
        self.engine.is_idle = False
        self.engine.ledger.last += 1

    def lives(self) -> dict[int, Life]:
        """Where the workers are in their lives."""
        return self.crew.lives()

    @property
    def sleeps(self) -> float:
        """Seconds for which the supervisor would sleep now, at the most."""
        return (min(self.supervisor.next_looks()) - self.channel.now) / SECOND

    def close(self) -> None:
        """Whatever the test has found: leave nothing open."""
        for worker in self.crew:
            self.children[worker.seat].end(0)
            self.crew.dismiss(worker)
        if self.supervisor.is_watching:
            os.close(self.engine.bell)
            self.diary.close()


@contextmanager
def supervised(monkeypatch: pytest.MonkeyPatch, workers: int = 2, **terms: Any) -> Iterator[Pool]:
    """Such a pool; who is slain in it is dead at once."""
    pool = Pool(workers, **terms)

    def slay(pid: int, sentinel: int) -> int:
        for child in pool.children.values():
            if child.pid == pid:
                child.send_signal(signal.SIGKILL)
        return 1

    monkeypatch.setattr(watch, "slay", slay)
    try:
        yield pool
    finally:
        pool.close()
