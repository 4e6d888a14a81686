"""Barriers: processes wait for each other, and are told if one of them died.

If a process that waits is killed, or one that came before and without whom too few are left, the
barrier breaks: those that wait get a BrokenBarrierError, at once and not after a timeout. A
process that ends by itself breaks nothing. reset() begins anew without the dead.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from threading import BrokenBarrierError
from typing import Any

from procession._core.binding import Barrier as Rounds

__all__ = ["Barrier", "BrokenBarrierError"]


class Barrier(Rounds, threading.Barrier):
    """Opens for all when the last of its parties has come; then it is closed again.

    A barrier can be sent to any process of the family, as an argument or through a queue or pipe;
    its action and timeout go with it.

    Args:
        parties: how many must come.
        action: called without arguments by the last to come, before the others are let go; None:
            nothing is. If it raises, the barrier breaks.
        timeout: seconds that wait() waits if it is not told otherwise; None: for ever.
        ctx: what made it; taken for the standard library's sake.

    Raises:
        ValueError: for fewer parties than one.
    """

    def __init__(
        self,
        parties: int,
        action: Callable[[], object] | None = None,
        timeout: float | None = None,
        *,
        ctx: Any = None,
    ) -> None:
        Rounds.__init__(self, parties)
        self._action = action
        self._timeout = timeout
