"""The thread that fetches the items of an imap call from its input, and sends them.

An input may take its time, or wait for anything, even for a result of the same call. So it must not
be pulled by who consumes the results: they would be held back by it, or wait for one another. The
thread rests while so many items are ahead as may be. It ends with the input, and closes it.
"""

from __future__ import annotations

import contextlib
import signal
from queue import Empty, SimpleQueue
from threading import current_thread
from typing import TYPE_CHECKING

from procession._engine.attendant import FULL_RING_STEP, STEP
from procession._threads import Latch, Thread

if TYPE_CHECKING:
    from procession._engine.streams import StreamJob

LONGEST_PAUSE = 0.016
"""Seconds until it is tried again to send what there was no room for; at first FULL_RING_STEP."""


class Fetcher:
    """The one of a call. Only the thread itself holds on to that, so its end is the call's."""

    __slots__ = ("_bell", "_end", "_error", "_is_awaited", "_is_rung", "_thread")

    def __init__(self) -> None:
        # Neither a lock nor an event: it may be rung by a signal handler or a garbage collection in
        # the midst of a ring.
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._is_rung = True
        self._thread: Thread | None = None
        self._end = Latch()
        self._is_awaited = False
        self._error: BaseException | None = None  # of closing the input; for who waits for that

    def start(self, job: StreamJob) -> None:
        """Begin to fetch.

        Raises:
            RuntimeError: the system has no room for a thread.
        """
        # No signal handler in the midst of that: it could not start a thread itself.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        try:
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            thread = Thread(
                target=self._run, args=(job, mask), name="procession-input", daemon=True
            )
            thread.start()
            self._thread = thread
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def wake(self) -> None:
        """Have it look again. By any thread, also under the engine's lock."""
        if not self._is_rung:
            self._is_rung = True
            self._bell.put(None)

    def announce(self) -> None:
        """Somebody is going to wait for the end, and is to be told of errors."""
        self._is_awaited = True

    def await_end(self, job: StreamJob) -> None:
        """Wait until the input of a call that is over is closed; but not for what it waits for.

        Raises:
            BaseException: what closing it raises.
        """
        if self._thread is None or self._thread is current_thread():
            return
        while not self._end.wait():
            if job.is_pulling:
                self._is_awaited = False  # it is closed when it goes on
                break
        error, self._error = self._error, None
        if error is not None:
            raise error

    # ---- the thread

    def _run(self, job: StreamJob, mask: set[signal.Signals]) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)  # which the input's children inherit
        try:
            self._fetch_all(job)
            job.close_input()
        except BaseException as error:
            if not self._is_awaited:
                raise
            self._error = error
        finally:
            self._end.open()
            job.engine.tidy()

    def _fetch_all(self, job: StreamJob) -> None:
        engine, pause = job.engine, 0.0
        while not job.is_exhausted:
            self._is_rung = False  # first: who rings from here on is not slept over
            try:
                job.fetch()
            except BaseException as error:
                job.abandon(engine.end_error() if engine.is_finished else error)
            if engine.is_finished:
                job.abandon(engine.end_error())
            if not job.is_exhausted:
                pause = min(2 * pause or FULL_RING_STEP, LONGEST_PAUSE) if job.waits_for_room else 0
                with contextlib.suppress(Empty):
                    self._bell.get(timeout=pause or STEP)
