"""The thread that records outcomes as they come, whether somebody waits for them or not.

It is never interrupted (signals go to the main thread), and it records in one transaction all that
has come while it was at the one before.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from procession._engine.attendant import STEP
from procession._threads import Latch, Thread

if TYPE_CHECKING:
    from procession._journal.jobs import RecordedJob

FINISHED_STEP = 0.01
"""Seconds between two looks once the engine has ended: nobody rings any more."""

_ending: set[Recorder] = set()
"""Those that were told to end while nobody waited."""


def await_ends() -> None:
    """Wait for the recorders whose iterators were dropped: they close their journals now."""
    while _ending:
        _ending.pop().stop(wait=True)


class Recorder:
    """Has a job's outcomes recorded until it is told that the job is over; closes the journal.

    Attributes:
        error: what went wrong; nothing is recorded or delivered from then on.
    """

    def __init__(self, job: RecordedJob) -> None:
        self.error: BaseException | None = None
        self._job = job
        self._is_over = False
        self._end = Latch()
        self._thread = Thread(target=self._run, name="procession-journal", daemon=True)

    @property
    def answer(self) -> bool | None:
        """True while there is something to record; what the core asks for who waits."""
        return True if self._is_over or (self._job.has_arrivals and self.error is None) else None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, *, wait: bool) -> None:
        """The job is over. With `wait`, return when the journal is closed."""
        self._is_over = True
        if not wait:
            _ending.add(self)
        self._job.engine.channel.wake(self)
        if wait and threading.current_thread() is not self._thread:
            while not self._end.wait():
                pass

    def _run(self) -> None:
        job, engine = self._job, self._job.engine
        try:
            while not self._is_over:
                if job.has_arrivals and self.error is None:
                    self._record()
                elif engine.is_finished:
                    self._job.pause(FINISHED_STEP)
                else:
                    engine.step(self, STEP)
            if self.error is None:
                self._record()
        finally:
            try:
                job.close_journal()
            finally:
                _ending.discard(self)
                self._end.open()

    def _record(self) -> None:
        try:
            self._job.take_arrivals()
        except BaseException as error:
            self.error = error
            self._job.engine.channel.wake(self._job)
