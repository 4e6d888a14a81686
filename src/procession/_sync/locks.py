"""Locks and semaphores. They know who has them: if that process dies, the others are told.

With the standard library's, a process that is killed while it has one leaves the others waiting
for ever. Here each acquire() that would have to wait for a dead process raises OwnerDied within
milliseconds, until somebody has looked after what the lock guards and called recover().
"""

from __future__ import annotations

import threading
from typing import Any

from procession import process
from procession._core.binding import Mutex
from procession._core.binding import Semaphore as Permits

__all__ = ["BoundedSemaphore", "Lock", "RLock", "Semaphore"]


def _this_thread() -> str:
    """This thread's name as reports have it: its process's, and its own if it is not the first."""
    name = process.current_process().name
    thread = threading.current_thread().name
    return name if thread == "MainThread" else f"{name}|{thread}"


class _WithInnerLock:
    """Programs, and queues of the standard library's own, look into its locks: at `_semlock`."""

    __slots__ = ()

    @property
    def _semlock(self) -> Any:
        return self

    def _is_zero(self) -> bool:
        value: int = self._semlock._get_value()
        return value == 0


class Lock(_WithInnerLock, Mutex):
    """A lock that one thread of one process owns at a time; another one may free it.

    Who has waited for 5 ms goes before those that come later. A lock can be sent to any process
    of the family, as an argument or through a queue or pipe.

    Args:
        ctx: what made it; taken for the standard library's sake.
    """

    def __init__(self, *, ctx: Any = None) -> None:
        super().__init__(False)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}(owner={self._owner()})>"

    def _get_value(self) -> int:
        return int(not self.locked())

    def _owner(self) -> str:
        if self._is_mine():
            return _this_thread()
        if not self.locked():
            return "None"
        return "SomeOtherThread" if self._is_ours() else "SomeOtherProcess"


class RLock(_WithInnerLock, Mutex):
    """A lock that its owner may take again; it is free once it was released as often.

    Only the thread that owns it may release it.

    Args:
        ctx: what made it; taken for the standard library's sake.
    """

    def __init__(self, *, ctx: Any = None) -> None:
        super().__init__(True)

    def _get_value(self) -> int:
        return int(not self.locked())

    def __repr__(self) -> str:
        if count := self._count():
            state = f"{_this_thread()}, {count}"
        elif not self.locked():
            state = "None, 0"
        else:
            state = f"SomeOther{'Thread' if self._is_ours() else 'Process'}, nonzero"
        return f"<{type(self).__name__}({state})>"


class Semaphore(_WithInnerLock, Permits):
    """Permits that processes take and give.

    As long as each permit is given back by a process that took one, the permits of a process that
    dies are known: who would wait for them is told (OwnerDied), and recover() gives them back. Once
    a process has given one that it did not take, the semaphore is a signal, and permits belong to
    nobody.

    Args:
        value: how many permits there are at first; 0 to 2147483647.
        ctx: what made it; taken for the standard library's sake.

    Raises:
        ValueError: there can not be so many.
    """

    def __init__(self, value: int = 1, *, ctx: Any = None) -> None:
        super().__init__(value)

    def _get_value(self) -> int:
        return self.get_value()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}(value={self.get_value()})>"


class BoundedSemaphore(Semaphore):
    """A semaphore that never has more permits than at first: one too many is a ValueError.

    Args:
        value: how many there are at first, and at most; 0 to 2147483647.
        ctx: what made it; taken for the standard library's sake.

    Raises:
        ValueError: there can not be so many.
    """

    def __init__(self, value: int = 1, *, ctx: Any = None) -> None:
        Permits.__init__(self, value, value)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}(value={self.get_value()}, maxvalue={self._maximum()})>"
