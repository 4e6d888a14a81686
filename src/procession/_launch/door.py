"""The way to the family's zygote: a descriptor that all its processes share.

A socket on which a message with one more socket in it asks for a child (see ``forkserver``). It is
inherited by forked children, and travels in the parcels of the others.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

from procession._launch.kept import Kept

lock = threading.RLock()
"""Held while the way changes, or has to stay for a moment."""

_way: Kept | None = None


def way() -> Kept | None:
    """The way; None if there is no zygote yet, or none any more."""
    return _way if _way is not None and _way.is_intact() else None


def lead_to(fd: int | None) -> None:
    """From now on this is the way; None: there is none, and what was is closed."""
    global _way
    with lock:
        stale, _way = way(), None if fd is None else Kept.of(fd)
        if stale is not None and stale != _way:
            os.close(stale.fd)


@contextlib.contextmanager
def lent() -> Iterator[int | None]:
    """A copy of the descriptor, for the with-block; it stays what it is if the way changes.

    Raises OSError if there are no descriptors left.
    """
    with lock:
        here = way()
        copy = None if here is None else os.dup(here.fd)
    try:
        yield copy
    finally:
        if copy is not None:
            os.close(copy)


def _renew_lock() -> None:
    global lock
    lock = threading.RLock()


os.register_at_fork(after_in_child=_renew_lock)
