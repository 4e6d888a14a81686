"""One thread at a time does a piece of work; the others leave their wish behind and go on."""

from __future__ import annotations

from collections.abc import Callable

from procession._core import exclusively


class Turn:
    """For a piece of work that may be wanted by many threads, and by one that is at it already.

    No thread ever waits for another one here: the work may run code of the user's, which may
    wait for anything. Whoever finds it being done leaves a wish, and who does it looks for
    wishes when he is done. An exception in the work goes to the one who does it; others' wishes
    are lost with it, so who wants the work done for certain asks again after a while.

    The work is given with each call, not kept: kept, it would hold on to its owner, who holds
    the turn, and large results would live until a garbage collection.
    """

    __slots__ = ("_holder", "_wanted")

    def __init__(self) -> None:
        self._wanted = False
        self._holder: dict[None, None] = {}

    def take(self, work: Callable[[], object]) -> None:
        """Have the work done, by this thread or by the one that is at it."""

        def once() -> None:
            self._wanted = False
            work()

        self._wanted = True
        while self._wanted and exclusively(self._holder, once):
            pass
