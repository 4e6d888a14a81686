"""The standard library's, for threads: a floor, since nothing has to pass between processes."""

from __future__ import annotations

import threading
from typing import Any

from benchmarks.sync.kit import KitRival


class Number:
    """A value as threads share it."""

    def __init__(self, code: str, value: int) -> None:
        self.code = code
        self.value = value
        self._lock = threading.RLock()

    def get_lock(self) -> Any:
        """The lock to hold while adding."""
        return self._lock


class Kit:
    """The names that a context for processes has."""

    Lock = staticmethod(threading.Lock)
    RLock = staticmethod(threading.RLock)
    Semaphore = threading.Semaphore
    Event = threading.Event
    Condition = threading.Condition
    Barrier = threading.Barrier
    Value = Number
    RawValue = Number


class Rival(KitRival):
    title = "threading"
    forks = False

    @classmethod
    def open(cls, workers: int) -> Rival:
        return cls(Kit())

    def start(self, function: Any, arguments: tuple[Any, ...]) -> Any:
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        thread.start()
        return thread
