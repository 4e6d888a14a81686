"""Forked copies of engines: they do nothing, for the answers would go to the original."""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING

from procession._engine.policy import PoolState

if TYPE_CHECKING:
    from procession._engine.engine import Engine

_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


def disable_copies(engine: Engine) -> None:
    """Have all copies of this engine, in whatever way they are forked, refuse to work."""
    _engines.add(engine)


def refuse_copy(engine: Engine) -> None:
    """Raise ValueError if this is a copy."""
    if os.getpid() != engine.pid:
        raise ValueError(
            "this pool belongs to another process, of which this one is a fork; make a pool in "
            "the process that uses it"
        )


def _after_fork_in_child() -> None:
    for engine in list(_engines):
        engine.turn(PoolState.TERMINATING)
        engine.lock = threading.RLock()  # another thread may have held it


os.register_at_fork(after_in_child=_after_fork_in_child)
