"""The thread that looks after deaths. It runs no code of the user's, so nothing can hold it up.

It sleeps in poll() on the workers' sentinels and on an eventfd; a worker whose result finds no
room writes to that, and so does every thread that has something for it to do.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import traceback
from time import monotonic
from typing import TYPE_CHECKING

from procession._engine.crew import Crew, Worker
from procession._engine.ending import Cause
from procession._engine.policy import Instruction, PoolState, WorkerEnded, decide
from procession._launch.handle import LONGEST_SLEEP
from procession.errors.pool import describe_exit

if TYPE_CHECKING:
    from procession._engine.engine import Engine
    from procession._launch.methods import Child

STEP = 0.5
"""Seconds after which it looks around in any case. A pool that was dropped with a task on its way
is kept by that task until somebody collects, and nobody else does."""

RETRY = 0.1
"""Seconds until a worker that could not be started is tried again."""

TERMINATE_GRACE = 1.0
"""Seconds from SIGTERM to SIGKILL when a pool is terminated."""

PATIENCE = 100
"""False starts in a row (more than twice the workers, at least) that are borne."""

OWN_FAULT = 25
"""For how many it counts if a worker was not killed, but ended itself: so will the next."""


class Supervisor:
    """Watches the crew of one engine.

    Args:
        engine: told what becomes of the tasks.
        bell: an eventfd; the supervisor closes it when it ends.
    """

    def __init__(self, engine: Engine, crew: Crew, bell: int, *, patience: int) -> None:
        self._engine = engine
        self._crew = crew
        self._bell = bell
        self._patience = patience
        self._false_starts = 0
        self._poll = select.poll()
        self._poll.register(bell, select.POLLIN)
        self._kill_at: float | None = None
        self._is_hasty = False
        self._retry_at: float | None = None
        self.start_failure: Cause = None
        self._thread = threading.Thread(target=self.run, name="procession-supervisor", daemon=True)
        self._turn: dict[None, object] = {}  # of the one thread that supervises

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

    def worker_is_ready(self, seat: int) -> None:
        """A worker has initialised itself. Under the engine's lock."""
        worker = self._crew.at(seat)
        if worker is not None:
            worker.ready = True
            self._false_starts = 0
            self.start_failure = None

    def initializer_failed(self, error: bytes) -> None:
        """An initializer raised (encoded): it will do so again. Under the engine's lock."""
        self.start_failure = error
        self._patience = 0

    # ---- the thread

    def run(self) -> None:
        """Supervise to the end; nothing, if a thread does so already."""
        me = object()
        if self._turn.setdefault(None, me) is not me:
            return
        try:
            for worker in self._crew:
                self._poll.register(worker.child.sentinel, select.POLLIN)
            while not self._look_around():
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
            os.close(bell)

    def _sleep(self) -> None:
        until = [at for at in (self._kill_at, self._retry_at) if at is not None]
        left = min([STEP, *(at - monotonic() for at in until)])
        for fd, _ in self._poll.poll(max(0.0, left) * 1000):
            if fd == self._bell:
                os.eventfd_read(fd)

    def _look_around(self) -> bool:
        """Do all there is to do now; whether all is over."""
        engine, crew = self._engine, self._crew
        engine.collect()
        for worker in crew.ended():
            self._worker_ended(worker)
        if engine.state in (PoolState.TERMINATING, PoolState.BROKEN):
            engine.fail_all()
            self._end_crew()
        elif self._retry_at is not None and monotonic() >= self._retry_at:
            self._retry_at = None
            if engine.state is PoolState.RUNNING or not engine.is_idle:
                for seat in crew.empty_seats():
                    self._hire(seat)
        return not crew and engine.state is not PoolState.RUNNING and self._nothing_left()

    def _nothing_left(self) -> bool:
        if self._engine.state is PoolState.CLOSING and not self._engine.is_idle:
            # All workers left, or died, and there is work again (a task to be sent again).
            self._retry_at = self._retry_at or monotonic()
            return False
        return True

    def _end_crew(self) -> None:
        if self._kill_at is None:
            self._kill_at = monotonic() + TERMINATE_GRACE
            self._crew.signal(signal.SIGTERM)
        elif self._is_hasty or monotonic() >= self._kill_at:
            self._kill_at = monotonic() + TERMINATE_GRACE
            self._crew.signal(signal.SIGKILL)

    def _worker_ended(self, worker: Worker) -> None:
        engine, child = self._engine, worker.child
        self._poll.unregister(child.sentinel)
        with engine.lock:
            # All that it published, before its claim is read: what it answered is not lost.
            engine.collect()
            held = engine.bury(worker.seat)
            if not worker.ready:
                self._false_starts += 1 if (child.poll() or 0) < 0 else OWN_FAULT
            ended = WorkerEnded(
                held=held.state,
                ready=worker.ready,
                tasks_left=held.record is not None or not engine.is_idle,
                false_starts=self._false_starts,
            )
            instructions = decide(engine.state, ended, patience=self._patience)
            if Instruction.FAIL_TASK in instructions:
                engine.fail_held(held, child.pid, child.poll())
            elif Instruction.RESEND_TASK in instructions:
                engine.send_again(held)
        self._crew.dismiss(worker)
        if Instruction.BREAK_POOL in instructions:
            engine.break_pool(self.start_failure or _false_start(child))
        elif Instruction.REPLACE_WORKER in instructions:
            self._hire(worker.seat)

    def _hire(self, seat: int) -> None:
        try:
            worker = self._crew.hire(seat)
        except OSError as error:
            self.start_failure = error
            self._false_starts += 1
            if not self._crew and self._false_starts > self._patience:
                self._engine.break_pool(error)
            else:
                self._retry_at = monotonic() + RETRY
            return
        with contextlib.suppress(ValueError):
            self._poll.register(worker.child.sentinel, select.POLLIN)


def _false_start(child: Child) -> RuntimeError:
    how = describe_exit(child.poll())
    return RuntimeError(f"worker {child.pid} ended before it was ready: {how}")
