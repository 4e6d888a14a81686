"""The thread that looks after the workers. It runs no code of the user's, so nothing holds it up.

It sleeps in poll() on the workers' sentinels and on an eventfd; a worker whose result finds no
room writes to that, and so does every thread that has something for it to do. When it wakes it does
all there is to do, in this order: collects, buries the dead, looks for late tasks, and follows the
plan for its crew (``staffing``).

When nothing is left to do it sleeps longer and longer. With time-outs in use, or a crew that has
become small, it rests: then the engine is told by ``is_shrunk`` to say when there is work again.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import traceback
from collections.abc import Iterator
from typing import TYPE_CHECKING

from procession._engine.autopsy import likely_cause, oom_kills
from procession._engine.crew import Crew, Worker
from procession._engine.deadlines import SECOND, Row, nanoseconds
from procession._engine.foreman import Foreman
from procession._engine.policy import Ended, Fate, PoolState
from procession._engine.staffing import Event, Life
from procession._engine.watch import Watch
from procession._launch.handle import LONGEST_SLEEP
from procession._threads import Thread

if TYPE_CHECKING:
    from procession._engine.engine import Engine
    from procession._engine.hiring import Terms
    from procession._worker.diary import Diary

STEP = SECOND // 2
"""Nanoseconds after which it looks around in any case, while there is work. A pool that was dropped
with a task on its way is kept by that task until somebody collects, and nobody else does."""

LONGEST_STEP = 16 * SECOND
"""It is doubled up to this while there is nothing to do."""

REST_AFTER = SECOND
"""With nothing to do for so long, the clock is not watched any more."""

TERMINATE_GRACE = SECOND
"""From SIGTERM to SIGKILL when a pool is terminated."""

NEVER = 1 << 63


class Supervisor:
    """Watches the crew of one engine.

    Args:
        engine: told what becomes of the tasks.
        bell: an eventfd; the supervisor closes it when it ends.
        terms: on which the crew is hired.
        diary: where workers write what is told after their death; closed with the bell.
    """

    def __init__(self, engine: Engine, crew: Crew, bell: int, terms: Terms, diary: Diary) -> None:
        self._engine = engine
        self._crew = crew
        self._bell = bell
        self._diary = diary
        self._foreman = Foreman(engine, crew, terms, self._attend)
        self._watch = Watch(engine, crew)
        self._poll = select.poll()
        self._poll.register(bell, select.POLLIN)
        self._sentinels: dict[int, Worker] = {}
        self._oom_kills = self._oom_kills_at_first = oom_kills()
        self._is_hasty = False
        # Moments on the channel's clock.
        self._kill_at: int | None = None
        self._look_at: int | None = None  # at the tasks
        self._step = STEP
        self._sleeps_until = NEVER  # nobody has to wake it while it is awake
        self._thread = Thread(target=self.run, name="procession-supervisor", daemon=True)
        self._turn: dict[None, object] = {}  # of the one thread that supervises

    # ---- for others

    def start(self) -> None:
        """Begin, once the first crew is there."""
        self._thread.start()

    def wake(self) -> None:
        """Have it look around now."""
        if self._bell >= 0:  # no other thread runs between this and the writing
            self._engine.channel.alert()

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end: no worker is left then. Not from its own thread."""
        thread = self._thread
        if thread is not threading.current_thread() and thread.ident is not None:
            thread.join(LONGEST_SLEEP if timeout is None else timeout)
            while timeout is None and thread.is_alive():
                thread.join(LONGEST_SLEEP)

    def end(self) -> None:
        """As join(), while a pool is terminated: an interrupt ends the workers' time, too."""
        try:
            self.join()
        except BaseException:
            self._is_hasty = True
            self.wake()
            raise

    def hurry(self) -> None:
        """Do not wait for workers to heed SIGTERM when the pool is terminated."""
        self._is_hasty = True

    def resize(self, workers: int) -> None:
        """From now on so many workers are wanted: some are hired, or leave after their tasks.

        Raises:
            ValueError: less than one, or more than there are seats.
        """
        if not 1 <= workers <= self._crew.capacity:
            raise ValueError(
                f"this pool can have from 1 to {self._crew.capacity} workers, not {workers}; "
                "one that begins with more can grow further"
            )
        self._engine.workers = workers
        self.wake()

    def want_spare(self) -> None:
        """From now on a worker is kept warm that takes over as soon as another one is killed."""
        if not self._foreman.wants_spare:
            self._foreman.wants_spare = True
            self.wake()

    def watch(self, timeout: float) -> None:
        """Tasks that may take only so many seconds are sent from now on. To be told of each such
        time-out, once or more, when the first such task stands in the ledger."""
        if timeout not in self._watch.timeouts:
            self._watch.timeouts.add(timeout)
            self._foreman.wants_spare = True
            if self._engine.channel.now_ns() + nanoseconds(timeout) < self._sleeps_until:
                self.wake()

    def work_came(self) -> None:
        """There is work in the ledger again, and ``engine.is_shrunk`` was set."""
        self._engine.is_shrunk = False
        self._foreman.grow()
        self.wake()

    def kill_task(self, seat: int, number: int, item: int | None, fate: Fate) -> bool:
        """Kill the worker that is at a task, with all processes it has started.

        Args:
            seat: where the task is run.
            number: of the task.
            item: kill it only if it is at this item; None for any.
            fate: what the engine is told at the burial.

        Returns:
            False: it is at that no more, and was left alone.
        """
        if not self._watch.kill(seat, number, item, fate):
            return False
        self._foreman.wants_spare = True
        self.wake()
        return True

    def pids(self) -> set[int]:
        """The process ids of the workers there are."""
        return {worker.child.pid for worker in list(self._crew)}

    @property
    def is_watching(self) -> bool:
        """Whether its end has not come yet."""
        return self._bell >= 0

    # ---- news of workers, under the engine's lock

    def worker_is_ready(self, seat: int) -> None:
        """A worker has initialised itself."""
        worker = self._crew.at(seat)
        if worker is not None:
            self._foreman.ready(worker)
            if worker.life is Life.BENCH:  # somebody may be waiting for it
                self._wake_if_asleep()

    def worker_retires(self, seat: int) -> None:
        """A worker is to be replaced; it goes on until its successor is there, if it can."""
        worker = self._crew.at(seat)
        if worker is not None:
            self._crew.happened(worker, Event.RETIRES)
            self._wake_if_asleep()

    def initializer_failed(self, error: bytes | BaseException) -> None:
        """An initializer raised (encoded, unless there was no memory for that): it will do so
        again."""
        self._foreman.initializer_failed(error)

    def _wake_if_asleep(self) -> None:
        if threading.current_thread() is not self._thread:
            self.wake()

    # ---- the thread

    def run(self) -> None:
        """Supervise to the end; nothing, if a thread does so already."""
        me = object()
        if self._turn.setdefault(None, me) is not me:
            return
        try:
            for worker in self._crew:
                self._attend(worker)
            while not self.look_around():
                self._sleep()
        except BaseException as error:
            # A mistake of ours: nobody shall wait for what can not come any more.
            traceback.print_exc()
            self._engine.break_pool(error)
            self._crew.signal(signal.SIGKILL)
            for worker in self._crew:
                worker.child.wait()
                self._crew.dismiss(worker)
        finally:
            bell, self._bell = self._bell, -1
            self._engine.finish()
            self._diary.close()
            os.close(bell)

    def look_around(self) -> bool:
        """Do all there is to do now; whether all is over."""
        engine, crew = self._engine, self._crew
        now = engine.channel.now_ns()
        engine.collect()
        for worker in self._ended():
            self._bury(worker)
        if engine.state in (PoolState.TERMINATING, PoolState.BROKEN):
            engine.fail_all()
            self._end_crew(now)
        else:
            self._look_at_tasks(now)
            self._foreman.look(now)
        if crew or engine.state is PoolState.RUNNING:
            return False
        return engine.state is not PoolState.CLOSING or engine.is_idle

    def _sleep(self) -> None:
        is_quiet = self._engine.is_idle and self._foreman.is_settled
        self._step = min(2 * self._step, LONGEST_STEP) if is_quiet else STEP
        until = min(self.next_looks())
        self._sleeps_until = until  # who has something earlier than this wakes it from now on
        left = until - self._engine.channel.now_ns()
        self._poll.poll(max(0, -(-left * 1000 // SECOND)))
        self._sleeps_until = NEVER

    def next_looks(self) -> Iterator[int]:
        """When to look around again, at the latest."""
        yield self._engine.channel.now_ns() + self._step
        if self._kill_at is not None:
            yield self._kill_at
            return
        if self._look_at is not None:
            yield self._look_at
        yield from self._foreman.next_looks()

    def _ended(self) -> list[Worker]:
        """Those who have ended; what rang the bell is done with."""
        ended: list[Worker] = []
        for fd, _ in self._poll.poll(0):
            worker = self._sentinels.get(fd)
            if worker is None:
                os.eventfd_read(fd)
            elif worker.child.poll() is not None:
                ended.append(worker)
        return ended

    def _attend(self, worker: Worker) -> None:
        sentinel = worker.child.sentinel
        self._sentinels[sentinel] = worker
        self._poll.register(sentinel, select.POLLIN)

    def _bury(self, worker: Worker) -> None:
        engine = self._engine
        sentinel = worker.child.sentinel
        self._poll.unregister(sentinel)
        del self._sentinels[sentinel]
        ended = self._examine(worker)
        if (
            ended.fate is Fate.DIED
            and worker.ready_at
            and self._oom_kills == self._oom_kills_at_first
        ):
            self._foreman.wants_spare = True  # it may happen again; unless memory was short
        with engine.lock:
            # All that it published, before its claim is read: what it answered is not lost.
            engine.collect()
            self._foreman.ended(worker, ended.fate, engine.bury(worker.seat, ended))

    def _examine(self, worker: Worker) -> Ended:
        """What can be told of a worker that has ended."""
        pid, exitcode = worker.child.pid, worker.child.poll()
        output, stack = self._diary.read(worker.seat)
        self._diary.clear(worker.seat)
        fate = worker.fate
        if fate is None:
            has_task = any(row[0] == worker.seat for row in self._engine.channel.seats())
            fate = Fate.DIED if exitcode or has_task else Fate.RETIRED
        before, after = self._oom_kills, None
        if fate is Fate.DIED:
            self._oom_kills = after = oom_kills()
        cause = likely_cause(pid, exitcode, stack, fate, before, after)
        return Ended(pid, exitcode, fate, output, stack, cause)

    def _look_at_tasks(self, now: int) -> None:
        """Tasks that are late, and those that others could do."""
        engine = self._engine
        self._look_at = None
        if engine.is_idle and now >= self._foreman.idle_since + REST_AFTER:
            if not self._watch.timeouts:
                return
            engine.is_shrunk = True
            if engine.is_idle:  # else who came right now may not have seen it
                return
        rows = [Row(*row) for row in engine.channel.seats()]
        looks = [self._watch.look(rows, now)]
        wanted = engine.sharing.look(rows)
        looks.append(None if wanted is None else now + nanoseconds(wanted))
        self._look_at = min((at for at in looks if at is not None), default=None)

    def _end_crew(self, now: int) -> None:
        if self._kill_at is None and not self._is_hasty:
            self._kill_at = now + TERMINATE_GRACE
            self._crew.signal(signal.SIGTERM)
        elif self._is_hasty or self._kill_at is None or now >= self._kill_at:
            self._kill_at = now + TERMINATE_GRACE
            self._crew.signal(signal.SIGKILL)
