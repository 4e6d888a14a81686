"""Where the items of a call come from: a sequence that is sliced, or an iterator that is pulled, by
those who look ahead or by a thread of its own.

``taken`` is the index of the first item that is in no piece yet. Whoever has made a piece of the
items ahead moves it on by an assignment, in which no interrupt can come in; what was looked at and
not taken is still ahead.
"""

from __future__ import annotations

import threading
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from operator import length_hint
from time import monotonic
from typing import Any, Protocol

from procession._codec.items import Pickled

PATIENCE = 0.0002
"""Seconds that may be spent on pulling for one piece that has an item: a slow input must not hold
back the items that it has given."""

STRIDE = 16
"""Items pulled between two looks at the clock, at most; first one, then as many as there are."""


class Source(Protocol):
    """The input of a call."""

    taken: int
    total: int | None
    """How many items there are, if that is known."""
    is_fixed: bool
    """Whether nothing changes of the items until all were taken."""

    def ahead(self, count: int) -> Sequence[Any]:
        """The next items, at most `count`; none at the end.

        Raises:
            BaseException: an interrupt; nothing is lost.
        """

    @property
    def is_exhausted(self) -> bool:
        """Whether all items were taken."""

    def end(self) -> None:
        """Give no more. Runs no code of the user's."""

    def close(self) -> None:
        """Let go of the input, which may run code of the user's."""


class Input(Source, Protocol):
    """The input of a call whose results are consumed one by one: it may fail behind some items.

    ``ahead`` may give nothing for now; that it is the end is said by ``is_exhausted``.
    """

    error: BaseException | None
    """What it raised where it ended, if it did."""
    keep: Callable[[Any], Any] | None
    """Makes what is pulled into something that does not change any more when the input's code goes
    on; returns None where it can not, and the item has to be sent before. None if that does not
    matter."""

    @property
    def runs_code(self) -> bool:
        """Whether it is code of the user's, which may change what it gave when it goes on."""

    @property
    def has_thread(self) -> bool:
        """Whether a thread of its own pulls it; then ``ahead`` gives what is here."""

    @property
    def is_pulling(self) -> bool:
        """Whether the thread waits for the input."""

    @property
    def has_for_now(self) -> bool:
        """Whether one of them could not be kept: the thread pulls no more before it is taken."""

    @property
    def holds(self) -> bool:
        """Whether items are here that the thread has pulled, and nobody has taken."""

    def fetch(self, count: int, hold: Callable[[], bool]) -> bool:
        """Pull until so many items are here, for a short time; by its thread alone.

        Args:
            hold: says behind each whether what is here may be held back for that time.

        Returns:
            Whether there was anything, or the end.
        """


class Sliced:
    """A range, list, tuple or string: cut by slicing, so a range stays a range.

    It is not to be changed while the call runs.
    """

    __slots__ = ("_items", "is_fixed", "taken", "total")

    def __init__(self, items: Sequence[Any]) -> None:
        self._items = items
        self.taken = 0
        self.total: int | None = len(items)
        self.is_fixed = True

    def ahead(self, count: int) -> Sequence[Any]:
        """The next slice."""
        return self._items[self.taken : self.taken + count]

    @property
    def is_exhausted(self) -> bool:
        """Whether all items were taken."""
        return self.taken >= len(self._items)

    def end(self) -> None:
        """Give no more."""
        self._items, self.taken = (), 0

    def close(self) -> None:
        """Nothing to do."""


class Pulled:
    """Any iterable: pulled by one thread at a time, and only as far as there is room.

    Args:
        whole: pieces are to have their full number of items, however slow the input is. As in the
            standard library, what was pulled of the one in which the input fails goes with it.

    Attributes:
        error: what the iterator raised where it ended, if it did.
    """

    has_thread = holds = has_for_now = is_pulling = False

    __slots__ = (
        "_exits",
        "_held",
        "_held_from",
        "_input",
        "_is_for_now",
        "_kept",
        "_over",
        "error",
        "is_fixed",
        "keep",
        "runs_code",
        "taken",
        "total",
        "whole",
    )

    def __init__(self, items: Iterable[Any], *, whole: bool = False) -> None:
        self.whole = whole
        self._input = iter(items)
        self.runs_code = type(self._input) not in _WITHOUT_CODE
        self._held: list[Any] = []  # pulled; those from `taken` on are not in a piece yet
        self._held_from = 0
        self._over = False
        self._kept = 0  # the items before this one do not change any more
        self._is_for_now = False  # the one at that place can not be kept
        self._exits = -1  # the one at that place exits when it is pickled
        self.error: BaseException | None = None
        self.keep: Callable[[Any], Any] | None = None
        self.taken = 0
        self.total = _known_length(items)
        self.is_fixed = False

    def ahead(self, count: int) -> Sequence[Any]:
        """The next items; fewer than `count` where the input is slow."""
        whole = self.whole
        if self.taken > self._held_from:
            left = self._held[self.taken - self._held_from :]
            self._held_from, self._held = self.taken, left
        held = self._held
        if self.keep is not None and self.runs_code:
            self._pull_and_keep(count, self.keep)
            return held if len(held) <= count else held[:count]
        until = None if whole else monotonic() + PATIENCE
        while len(held) < count and not self._over:
            before = len(held)
            step = count - before if whole else min(before or 1, STRIDE, count - before)
            try:
                # An interrupt behind it finds them in the list: they are not lost.
                held.extend(islice(self._input, step))
            except BaseException as error:
                if not isinstance(error, Exception) and is_main_thread():
                    raise  # an interrupt, most likely
                self.error = error
                self._over = True
                if whole:
                    held.clear()
            if len(held) < before + step:
                self._over = True
            if until is not None and monotonic() >= until:
                break
        return held if len(held) <= count else held[:count]

    def _pull_and_keep(self, count: int, keep: Callable[[Any], Any]) -> None:
        """Pull one after the other, each as it is at that moment: the input's code may go on with
        the same object. One that can not be kept is the last for now."""
        held, until = self._held, monotonic() + PATIENCE
        if self.taken > self._kept:
            self._kept, self._is_for_now = self.taken, False
        while len(held) < count and not self._over and not self._is_for_now:
            before = len(held)
            if self._kept < self._held_from + before:
                try:
                    kept = keep(held[-1])
                except BaseException as error:
                    if is_interrupt(error) or (self._exits != self._kept and is_main_thread()):
                        self._exits = self._kept
                        raise  # most likely a signal handler's; else it does so again
                    kept = Pickled(b"", error)
                if kept is None:
                    self._is_for_now = True
                    return
                held[-1] = kept
                self._kept = self._held_from + before
            try:
                # As in ahead(): an interrupt finds it in the list.
                held.extend(islice(self._input, 1))
            except BaseException as error:
                if not isinstance(error, Exception) and is_main_thread():
                    raise
                self.error = error
                self._over = True
            if len(held) == before:
                self._over = True
            if monotonic() >= until:
                return

    @property
    def is_exhausted(self) -> bool:
        """Whether the iterator has ended and all that it gave was taken."""
        return self._over and self.taken >= self._held_from + len(self._held)

    def end(self) -> None:
        """Pull no more."""
        self._over = True
        self._held_from, self._held = self.taken, []

    def close(self) -> None:
        """Close a generator; one that runs in another thread is left to that."""
        _close(self._input)

    def fetch(self, count: int, hold: Callable[[], bool]) -> bool:
        """Nothing to do: ``ahead`` does it."""
        return False


class Fetched:
    """An iterator that a thread of its own pulls, for it may wait for anything.

    The thread says ``fetch``; whoever has a turn says ``ahead``, also while the thread waits in the
    input. What is here is never held back by what is not.

    Args:
        whole: as for ``Pulled``.

    Attributes:
        error: what the iterator raised where it ended, if it did.
        is_pulling: see ``Input``.
    """

    is_fixed = False
    has_thread = True

    def __init__(self, items: Iterator[Any], total: int | None, *, whole: bool = False) -> None:
        self.whole = whole
        self.runs_code = True
        self.error: BaseException | None = None
        self.keep: Callable[[Any], Any] | None = None
        self.taken = 0
        self.total = total
        self.is_pulling = False
        self._input = items
        self._held: deque[tuple[int, Any]] = deque()  # with their indices: added by the thread,
        self._pulled = 0  # which counts them, and removed by whoever has the turn
        self._for_now = -1  # the index of one that can not be kept
        self._over = False
        self._is_ended = False

    @property
    def holds(self) -> bool:
        """Whether items are here that nobody has taken."""
        return not self._is_ended and self._pulled > self.taken

    @property
    def has_for_now(self) -> bool:
        """Whether one of them could not be kept."""
        return self._for_now >= self.taken

    @property
    def is_exhausted(self) -> bool:
        """Whether the iterator has ended and all that it gave was taken."""
        return self._over and not self.holds

    def fetch(self, count: int, hold: Callable[[], bool]) -> bool:
        """Pull until so many are here. One that can not be kept has to be taken before."""
        before, was_over = self._pulled, self._over
        until = monotonic() + PATIENCE
        while not self._over and self._pulled - self.taken < count and not self.has_for_now:
            self.is_pulling = True
            try:
                item = next(self._input)
            except BaseException as error:
                self._end_by(error)
                break
            else:
                is_kept = self._hold(item)
            finally:
                self.is_pulling = False
            # Asked behind that: who looks from now on finds it, and is woken by what is under way.
            if not is_kept or (not self.whole and (monotonic() >= until or not hold())):
                break
        return self._pulled > before or self._over > was_over

    def _end_by(self, error: BaseException) -> None:
        if not self._over and not isinstance(error, StopIteration):
            self.error = error
            if self.whole:
                self._held.clear()
                self._pulled = self.taken
        self._over = True

    def _hold(self, item: Any) -> bool:
        """Whether it was kept as it is, or need not be."""
        if self._is_ended:
            return True
        keep = self.keep if self.runs_code else None
        kept = item
        if keep is not None:
            try:
                kept = keep(item)
            except BaseException as error:  # of the item: nothing interrupts this thread
                kept = Pickled(b"", error)
            if kept is None:
                self._for_now = self._pulled
        self._held.append((self._pulled, item if kept is None else kept))
        self._pulled += 1
        self._forget_if_ended()  # meanwhile
        return kept is not None or keep is None

    def _forget_if_ended(self) -> None:
        if self._is_ended:
            self._held.clear()

    def ahead(self, count: int) -> Sequence[Any]:
        """The items that are here, at most `count`."""
        held = self._held
        if self._is_ended:
            return ()
        try:
            while held and held[0][0] < self.taken:
                held.popleft()
            here = len(held)
            if self.whole and here < count and not self._over:
                return ()
            return [held[at][1] for at in range(min(count, here))]
        except IndexError:  # it was ended meanwhile
            return ()

    def end(self) -> None:
        """Give no more."""
        self._over = self._is_ended = True
        self._held.clear()

    def close(self) -> None:
        """Close a generator; in its thread, where it began."""
        _close(self._input)


def streamed(items: Iterable[Any], *, whole: bool) -> Input:
    """The source of an imap call: what runs code of the user's has a thread of its own.

    Raises:
        TypeError: it can not be iterated over.
    """
    iterator = iter(items)
    if type(iterator) in _WITHOUT_CODE:
        return Pulled(iterator, whole=whole)
    return Fetched(iterator, _known_length(items), whole=whole)


def _close(given: Iterator[Any]) -> None:
    if isinstance(given, types.GeneratorType) and not given.gi_running:
        given.close()


_DICT: dict[Any, Any] = {}
_BUILT_IN: tuple[Iterable[Any], ...] = (
    *([], (), range(0), range(1 << 65), "", "ä", b"", set(), reversed([])),
    *(_DICT, _DICT.values(), _DICT.items()),
)
_WITHOUT_CODE = frozenset(type(iter(one)) for one in _BUILT_IN)
"""Types of iterators that run no code of the user's, so nothing changes while they are pulled."""


def _known_length(items: Iterable[Any]) -> int | None:
    try:
        known = length_hint(items, -1)
    except Exception:
        return None
    return known if known >= 0 else None


def is_interrupt(error: BaseException) -> bool:
    """Whether it certainly came from outside, not from the code that was running."""
    return isinstance(error, KeyboardInterrupt) and is_main_thread()


def is_main_thread() -> bool:
    """Whether signals are handled in this thread."""
    return threading.current_thread() is threading.main_thread()
