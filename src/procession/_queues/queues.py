"""Queues: first in, first out, any number of producers and consumers, and nothing is lost.

With the standard library's, an object that was put waits in its producer for a thread to send it:
it is lost if that process is killed, and a process that is killed at the wrong moment leaves a lock
taken that all others wait for. Here ``put()`` returns when the object is in shared memory, and no
death at any moment takes another process's objects with it.
"""

from __future__ import annotations

import traceback
from queue import Empty, Full
from typing import Any

from procession._core.binding import Queue as Shared
from procession._core.binding import SimpleQueue as SharedSimply
from procession._queues.ends import Ends

__all__ = ["Empty", "Full", "JoinableQueue", "Queue", "SimpleQueue"]


class Queue(Ends, Shared):
    """A queue of objects for any number of processes and threads.

    An object is pickled by the thread that puts it, which gets the error if that fails, and
    unpickled by the one that takes it out. If that fails, ``get()`` raises the error and the object
    is gone.

    Args:
        maxsize: the most objects it holds; zero or less: no limit.
        ctx: what made it; taken for the standard library's sake.
    """

    _joinable = False

    def __init__(self, maxsize: int = 0, *, ctx: Any = None) -> None:
        self._make(maxsize, self._joinable, False)

    def shutdown(self, immediate: bool = False) -> None:
        """Let nothing in any more, from any process: ``put()`` raises ShutDown from now on.

        ``get()`` gives what is in it, then raises ShutDown, too. Who waits is told.

        Args:
            immediate: throw away what is in it, as if it had been taken out and done with.
        """
        self._shut()
        if immediate:
            self._drain()

    def close(self) -> None:
        """Have this process use it no more: its ``put()`` and ``get()`` raise ValueError."""
        self._close_ends()

    def join_thread(self) -> None:
        """Nothing to wait for: what was put is there. Raises AssertionError if not closed."""
        assert self._is_closed(), f"Queue {self!r} not closed"

    def cancel_join_thread(self) -> None:
        """Nothing to cancel: the end of this process loses nothing."""

    @property
    def _closed(self) -> bool:
        return self._is_closed()

    @property
    def _maxsize(self) -> int:
        return self._limit()

    @staticmethod
    def _on_queue_feeder_error(e: Exception, obj: Any) -> None:
        """What the standard library's queues call when pickling fails: for subclasses only."""
        traceback.print_exception(e)

    def _refused(self, error: Exception, obj: Any) -> bool:
        """An object can not be pickled; whether that is dealt with (else ``put()`` raises)."""
        if type(self)._on_queue_feeder_error is Queue._on_queue_feeder_error:
            return False
        self._on_queue_feeder_error(error, obj)
        return True

    def _terminate_broken(self) -> None:
        """What an executor of the standard library's does to its queue when a worker died."""
        self.close()


class JoinableQueue(Queue):
    """A queue that can be waited for until all that was put has been dealt with.

    Args:
        maxsize: the most objects it holds; zero or less: no limit.
        ctx: what made it; taken for the standard library's sake.
    """

    _joinable = True

    task_done = Shared._task_done
    join = Shared._join
    recover = Shared._recover


class SimpleQueue(Ends, SharedSimply):
    """A queue with the least one needs.

    Args:
        ctx: what made it; taken for the standard library's sake.
    """

    def __init__(self, *, ctx: Any = None) -> None:
        self._make(0, False, True)

    def close(self) -> None:
        """Have this process use it no more: its ``put()`` and ``get()`` raise OSError."""
        self._close_ends()


for _kind in (Queue, JoinableQueue, SimpleQueue):
    _kind.__module__ = "procession.queues"  # the name to find it by, in reports and pickles
