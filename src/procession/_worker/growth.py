"""How much memory a worker has come to use."""

from __future__ import annotations

import os
import time

_PAGE = os.sysconf("SC_PAGE_SIZE")
_PAUSE = 0.2
"""Seconds between two looks: one costs some microseconds."""


def private_bytes() -> int:
    """The resident memory of this process that is no file's and not shared, in bytes."""
    with open("/proc/self/statm", "rb", buffering=0) as file:
        _, resident, shared = map(int, file.read().split()[:3])
    return (resident - shared) * _PAGE


class Growth:
    """Tells when this process has grown by more than `limit` bytes since now."""

    def __init__(self, limit: int) -> None:
        self._most = private_bytes() + limit
        self._next = time.monotonic() + _PAUSE

    def is_too_much(self) -> bool:
        """Whether it has; looks at most five times a second, and says no in between."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + _PAUSE
        return private_bytes() > self._most
