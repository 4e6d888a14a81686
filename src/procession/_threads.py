"""Threads of ours, whose start and end a signal handler may interrupt."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from queue import Empty, SimpleQueue

GLANCE = 0.01
"""Seconds after which who waits looks around in any case."""


class Thread(threading.Thread):
    """A thread whose start() raises what a signal handler raised in its midst.

    The start waits for an ``Event``. An exception that comes while that takes its lock again leaves
    it as "release unlocked lock": one Ctrl-C, and the program would end with a RuntimeError.
    """

    def start(self) -> None:
        """Begin.

        Raises:
            RuntimeError: the system has no room for a thread, or it was begun before.
            BaseException: a signal handler raised it; the thread may have begun or not.
        """
        outer, interrupt = sys.exception(), None
        try:
            super().start()
        except RuntimeError as error:
            interrupt = error.__context__
            if interrupt is None or interrupt is outer:
                raise
        if interrupt is not None:
            raise interrupt


def have_ended(pid: int) -> bool:
    """Whether threads that process `pid` began do not run any more: this is a fork of it, or the
    interpreter ends. A lock that one of them had is never given back: a finalizer must not wait."""
    return sys.is_finalizing() or os.getpid() != pid


class Latch:
    """Opened once, at the end of a thread.

    ``Thread.join`` and ``Event.wait`` hold a lock for a moment: a signal handler that comes in just
    then, and waits for the same, waits for ever.
    """

    __slots__ = ("_bell", "_is_open", "_pid")

    def __init__(self) -> None:
        self._is_open = False
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._pid = os.getpid()

    def open(self) -> None:
        """Let all go on."""
        self._is_open = True
        self._bell.put(None)

    def wait(self) -> bool:
        """Wait for a moment; whether it is open, or will never be."""
        if not self._is_open:
            with contextlib.suppress(Empty):
                self._bell.get(timeout=GLANCE)  # one who waits; others go on a moment later
        return self._is_open or have_ended(self._pid)
