"""Locks of ours, where a signal handler waits while its thread holds them.

A handler can come in anywhere, also where the thread that it interrupts holds one of the engine's
locks. What it waits for is then done by another thread, which needs that lock. So it is let go
meanwhile, as it would be if the handler raised an exception: everything done under it bears that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any


def holds(locks: Iterable[Any]) -> bool:
    """Whether this thread holds one of these RLocks. Asked for each wait, so it is quick."""
    for lock in locks:  # noqa: SIM110
        if lock._is_owned():
            return True
    return False


@contextmanager
def let_go(*locks: Any) -> Iterator[None]:
    """Inside the with-block this thread holds none of the RLocks; behind it, as before."""
    # As threading.Condition does when it waits; there is no public way.
    held = [(lock, lock._release_save()) for lock in locks if lock._is_owned()]
    try:
        yield
    finally:
        for lock, state in reversed(held):
            lock._acquire_restore(state)
