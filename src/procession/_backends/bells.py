"""A bell for one thread that sleeps: rung from anywhere, a signal handler or a finalizer too."""

from __future__ import annotations

import contextlib
import threading


class Bell:
    """Rung once or more, it wakes its one sleeper once. No lock of it is ever held by a ringer."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()  # locked: it was not rung
        self._lock.acquire()

    def ring(self) -> None:
        """Wake who sleeps, or who is next to."""
        with contextlib.suppress(RuntimeError):  # it was rung already
            self._lock.release()

    def sleep(self, seconds: float) -> bool:
        """Sleep until it is rung, at most so long; whether it was."""
        return self._lock.acquire(timeout=max(0.0, seconds))
