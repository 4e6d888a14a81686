"""Signals that end ``procession map`` in order, though never in the midst of a line."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType

_ENDING = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """A signal came in.

    Attributes:
        number: which.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Interrupts:
    """Raises ``Interrupted`` for the first signal; the second does what it does without us."""

    def __init__(self) -> None:
        self._came = 0
        self._is_held = False
        self._pid = os.getpid()
        self._before = {number: signal.signal(number, self._handle) for number in _ENDING}

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._pid:
            _as_before(number)
            return
        self._came = number
        for each in _ENDING:
            signal.signal(each, signal.SIG_DFL)
        if not self._is_held:
            raise Interrupted(number)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Raise it at the end of this, not in the midst."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
        if self._came:
            raise Interrupted(self._came)

    def restore(self) -> None:
        """Have them as they were."""
        for number, handler in self._before.items():
            signal.signal(number, handler)


def _as_before(number: int) -> None:
    """A forked worker got the signal: what we do about it is not for it."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
