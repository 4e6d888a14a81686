"""The standard library's locks, and ours, by the same names."""

from __future__ import annotations

import multiprocessing
from typing import Any

from procession import process
from procession._sync import locks


class Kinds:
    """How each kind is made.

    Args:
        ours: ours, or the standard library's.
    """

    def __init__(self, ours: bool) -> None:
        source: Any = locks if ours else multiprocessing.get_context("fork")
        self._module: Any = process if ours else multiprocessing
        self.Lock = source.Lock
        self.RLock = source.RLock
        self.Semaphore = source.Semaphore
        self.BoundedSemaphore = source.BoundedSemaphore

    def process_name(self) -> str:
        """This process's name, as its side knows it."""
        return str(self._module.current_process().name)
