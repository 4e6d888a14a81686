"""Conditions: wait, beside a lock, until another process says that something has changed.

A notification is borne by one waiter until it has the lock again. If its process dies before,
another waiter gets it. If a process dies having the lock, those that wait get OwnerDied, for it
may have been about to notify them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from procession._core.binding import Condition as Waiting
from procession._sync.locks import Lock, RLock

__all__ = ["Condition"]

T = TypeVar("T")


class _Count:
    """Looks like a semaphore whose value can be asked for."""

    def __init__(self, value: Callable[[], int]) -> None:
        self.get_value = value


class Condition(Waiting):
    """Wait to be notified by who has the lock.

    A condition can be sent to any process of the family, as an argument or through a queue or
    pipe; its lock goes with it.

    Args:
        lock: a Lock or RLock; None for a new RLock.
        ctx: what made it; taken for the standard library's sake.

    Raises:
        TypeError: for a lock of another kind.
    """

    def __init__(self, lock: Lock | RLock | None = None, *, ctx: Any = None) -> None:
        self._stand_beside(RLock() if lock is None else lock)
        super().__init__(self._lock)

    def _stand_beside(self, lock: Lock | RLock) -> None:
        self._lock = lock
        self.acquire = lock.acquire
        self.release = lock.release

    def __reduce__(self) -> tuple[Any, ...]:
        make, arguments, *_ = super().__reduce__()
        state = {**self.__dict__}
        del state["acquire"], state["release"]
        return make, arguments, state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._stand_beside(self._lock)
        self._beside(self._lock)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}({self._lock}, {self._waiting()})>"

    def wait_for(self, predicate: Callable[[], T], timeout: float | None = None) -> T:
        """Wait until `predicate()` is true, asking it anew after each notification.

        Args:
            predicate: called without arguments, having the lock.
            timeout: seconds to wait at most; None: for ever.

        Returns:
            What the predicate returned last.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while not (result := predicate()):
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                break
            self.wait(left)
        return result

    # What the standard library's consists of; its users look at the numbers.

    @property
    def _sleeping_count(self) -> _Count:
        return _Count(self._waiting)

    @property
    def _woken_count(self) -> _Count:
        return _Count(int)

    @property
    def _wait_semaphore(self) -> _Count:
        return _Count(int)
