"""The thread that fetches the items of an imap call from its input, and sends them.

An input may take its time, or wait for anything, even for a result of the same call. So it must not
be pulled by who consumes the results: they would be held back by it, or wait for one another. The
thread rests while so many items are ahead as may be, and ends with the input.
"""

from __future__ import annotations

import contextlib
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

from procession._engine.attendant import FULL_RING_STEP, STEP

if TYPE_CHECKING:
    from procession._engine.streams import StreamJob


class Fetcher:
    """The one of a call. Only the thread itself holds on to that, so its end is the call's."""

    __slots__ = ("_bell", "_is_rung")

    def __init__(self) -> None:
        # Neither a lock nor an event: it may be rung by a signal handler or a garbage collection in
        # the midst of a ring.
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._is_rung = True

    def start(self, job: StreamJob) -> None:
        """Begin to fetch.

        Raises:
            RuntimeError: the system has no room for a thread.
        """
        Thread(target=self._run, args=(job,), name="procession-input", daemon=True).start()

    def wake(self) -> None:
        """Have it look again. By any thread, also under the engine's lock."""
        if not self._is_rung:
            self._is_rung = True
            self._bell.put(None)

    # ---- the thread

    def _run(self, job: StreamJob) -> None:
        while not job.is_exhausted:
            self._is_rung = False  # first: who rings from here on is not slept over
            try:
                job.fetch()
            except BaseException as error:
                engine = job.engine
                job.abandon(engine.end_error() if engine.is_finished else error)
            if not job.is_exhausted:
                self._rest(FULL_RING_STEP if job.waits_for_room else STEP)
        job.let_go_if_left()
        job.engine.tidy()

    def _rest(self, most: float) -> None:
        with contextlib.suppress(Empty):
            self._bell.get(timeout=most)
