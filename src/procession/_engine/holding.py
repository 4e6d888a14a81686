"""A lock of ours, where a signal handler waits while its thread holds it.

A handler can come in anywhere, also where the thread that it interrupts holds the engine's lock.
What it waits for is then done by another thread, which needs that lock. So it is let go meanwhile,
as it would be if the handler raised an exception: everything done under it bears that.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def let_go(lock: Any) -> Iterator[None]:
    """Inside the with-block this thread does not hold the RLock; behind it, as before."""
    if not lock._is_owned():
        yield
        return
    # As threading.Condition does when it waits; there is no public way.
    state = lock._release_save()
    try:
        yield
    finally:
        lock._acquire_restore(state)
