"""The ledger: which numbers are out, and what stands behind each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession import _core

if TYPE_CHECKING:
    from procession._engine.entries import Record


class Ledger(_core.Ledger):
    """Entries without an answer, by number; numbers begin at 1 and are never reused.

    ``open`` is the plain dict into which the core enters what it sends, and out of which it takes
    what is answered. ``last`` is the highest number that ``next_number()`` has given so far.
    """

    __slots__ = ()

    open: dict[int, Record]

    def latest(self) -> Record | None:
        """The record sent last of those that are open."""
        # Copied at one go. CPython's reversed() of a dict reads behind the end of its table if that
        # was made anew, with as many entries, before its first step.
        records = list(self.open.values())
        return records[-1] if records else None

    def earliest(self) -> Record | None:
        """The record of those that are open that was sent first."""
        try:
            return next(iter(self.open.values()), None)
        except RuntimeError:  # another thread entered one meanwhile
            return None

    def oldest(self) -> int:
        """No entry below this number is open."""
        try:
            return min(self.open, default=self.last + 1)
        except RuntimeError:  # another thread entered one meanwhile
            return 0
