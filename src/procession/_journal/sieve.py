"""The input of a call, without the items that are recorded already."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, NamedTuple

from procession._codec.items import Pickled
from procession._engine.sources import PATIENCE, Input, is_interrupt, is_main_thread
from procession._journal.file import CallLog

MOST_ASIDE = 1024
"""Recorded items that are ahead of what is consumed, at most. Only their numbers are kept."""


class Entered(NamedTuple):
    """What an item is sent as, and known by.

    Attributes:
        argument: what the function gets.
        digest: of the item; empty where there is none.
        shown: what is delivered with the outcome.
    """

    argument: Any
    digest: bytes = b""
    shown: Any = None


class Place(NamedTuple):
    """An item of the input.

    Attributes:
        position: its index in the input.
        key: what it is known by in the journal.
        shown: what is delivered with the outcome.
        number: that of its record.
    """

    position: int
    key: bytes
    shown: Any
    number: int | None


class _Known(NamedTuple):
    """An item that was entered, looked up and kept as it was when it was pulled."""

    entered: Entered
    key: bytes
    number: int | None


class Sieve:
    """An ``Input`` that gives what is to be run, and sets aside what is recorded.

    Args:
        items: all of the input.
        log: the records; None: there are none.
        enter: what an item is sent as. Runs code of the user's, by the thread that feeds.
        most: items that are under way or not consumed, at most; None for no such limit.

    Attributes:
        taken: counts what is to be run.
        places: of what is to be run and has no outcome, by the same count.
        aside: of what is recorded and not consumed.
        recorded: how many were.
        is_unbounded: the pool is closing: all of it is to be entered.
        ring: called when something was set aside: the thread that pulls may be another one.
    """

    is_fixed = False

    def __init__(
        self,
        items: Input,
        log: CallLog | None,
        enter: Callable[[Any], Entered],
        most: int | None = None,
    ) -> None:
        self.taken = 0
        self.places: dict[int, Place] = {}
        self.aside: deque[Place] = deque()
        self.recorded = 0
        self.is_unbounded = False
        self.ring: Callable[[], object] = bool
        self._exits = -1  # the one at that position exits when it is entered
        self._items = items
        self._log = log
        self._enter = enter
        self._is_limited = most is not None
        self._held: list[Any] = []
        self._held_from = 0
        self._is_ended = False
        self._keep: Callable[[Any], Any] | None = None
        self._kept = 0  # items that were given to _known()
        self._for_now = -1  # the count of one that is as the input left it: to be sent before more

    @property
    def total(self) -> int | None:
        """How many items there are, if that is known."""
        return self._items.total

    @total.setter
    def total(self, total: int | None) -> None:
        self._items.total = total

    @property
    def error(self) -> BaseException | None:
        """What the input raised where it ended."""
        return self._items.error

    @error.setter
    def error(self, error: BaseException | None) -> None:
        self._items.error = error

    @property
    def runs_code(self) -> bool:
        """Whether it is code of the user's."""
        return self._items.runs_code

    @property
    def has_thread(self) -> bool:
        """Whether it is pulled by a thread of its own."""
        return self._items.has_thread

    @property
    def keep(self) -> Callable[[Any], Any] | None:
        """As for every ``Input``."""
        return self._keep

    @keep.setter
    def keep(self, keep: Callable[[Any], Any] | None) -> None:
        self._keep = keep
        if keep is not None and self.has_thread and self.runs_code:
            self._items.keep = self._known

    @property
    def is_pulling(self) -> bool:
        """Whether its thread waits for the input."""
        return self._items.is_pulling

    @property
    def holds(self) -> bool:
        """Whether items are here that were not entered, or not taken."""
        # In this order: an item goes from the first to the second.
        return self._items.holds or self._held_from + len(self._held) > self.taken

    @property
    def has_for_now(self) -> bool:
        """Whether one is here that may change when the input goes on."""
        # In this order: it goes from the first to the second.
        return self._items.has_for_now or self._for_now >= self.taken

    def fetch(self, count: int, hold: Callable[[], bool]) -> bool:
        """Pull until so many items are here."""
        if self.has_for_now:
            return False
        entered = self._held_from + len(self._held) - self.taken
        return self._items.fetch(count - entered, hold)

    def _known(self, item: Any) -> _Known | None:
        """What the input's thread keeps; None for what it can not keep."""
        position, self._kept = self._kept, self._kept + 1
        try:
            entered = self._enter(item)
        except Exception:
            return None  # told where it is entered
        except BaseException:  # of the item: nothing interrupts this thread
            entered = Entered(item)
        try:
            key, number = self._looked_up(entered.digest, position)
        except Exception:
            return None
        if number is None and self._keep is not None:
            try:
                kept = self._keep(entered.argument)
            except BaseException as error:
                kept = Pickled(b"", error)
            if kept is None:
                return None
            entered = entered._replace(argument=kept)
        return _Known(entered, key, number)

    def _looked_up(self, digest: bytes, position: int) -> tuple[bytes, int | None]:
        """An item's key, and the number of its record, if it has one."""
        log = self._log
        key = log.key(digest) if log is not None and digest else b""
        return key, log.find(position, key) if log is not None and key else None

    def ahead(self, count: int) -> Sequence[Any]:
        """The next items to be run; none at the end, or while too many are set aside."""
        if self.taken > self._held_from:
            left = self._held[self.taken - self._held_from :]
            self._held_from, self._held = self.taken, left
        until = monotonic() + PATIENCE
        budget = count - len(self._held)
        while len(self._held) < count and not self._items.is_exhausted:
            room = count - len(self._held)
            if self.keep is not None and self.runs_code and not self.has_thread:
                # It may change what it gave when it goes on: that is entered and sent before.
                if self._held:
                    break
                room = 1
            if not self.is_unbounded:
                room = min(room, budget if self._is_limited else MOST_ASIDE - len(self.aside))
            found = self._items.ahead(room) if room > 0 else ()
            if not found:
                break
            if not all(map(self._take, list(found))):
                break
            budget -= len(found)
            if self._held and monotonic() >= until:
                break
        return self._held if len(self._held) <= count else self._held[:count]

    def _take(self, item: Any) -> bool:
        """Take an item over from the input; False if that is its end."""
        position = self._items.taken
        local = self._held_from + len(self._held)
        try:
            if type(item) is _Known:
                (argument, _, shown), key, number = item
            else:
                argument, digest, shown = self._entered(item, position)
                key, number = self._looked_up(digest, position)
                if number is None and self._keep is not None:
                    self._for_now = local
        except Exception as error:
            self._items.end()
            self._items.error = error
            return False
        if self._is_ended:  # meanwhile
            return False
        place = Place(position, key, shown, number)
        was_empty = not self.aside
        # No call from here on, so no interrupt: all of it or nothing.
        if number is None:
            self.places[local] = place
            self._held += (argument,)
        else:
            self.aside += (place,)
            self.recorded += 1
        self._items.taken = position + 1
        if number is not None and was_empty:
            self.ring()
        return True

    def _entered(self, item: Any, position: int) -> Entered:
        try:
            return self._enter(item)
        except Exception:
            raise
        except BaseException as error:
            if is_interrupt(error) or (self._exits != position and is_main_thread()):
                self._exits = position
                raise  # most likely a signal handler's; else it does so again
            return Entered(item)  # it will fail where it is sent

    @property
    def is_exhausted(self) -> bool:
        """Whether the input has ended and all that is to be run of it was taken."""
        if self._is_ended:
            return True
        return self._items.is_exhausted and self.taken >= self._held_from + len(self._held)

    def end(self) -> None:
        """Give no more. Runs no code of the user's."""
        self._is_ended = True
        self._items.end()
        self._held_from, self._held = self.taken, []

    def close(self) -> None:
        """Let go of the input, which may run code of the user's."""
        self._items.close()
