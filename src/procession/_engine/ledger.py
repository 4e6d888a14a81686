"""The ledger: which numbers are out, and what stands behind each."""

from __future__ import annotations

import itertools

from procession._engine.entries import Entry


class Ledger:
    """Entries without an outcome, by number; numbers begin at 1 and are never reused.

    ``open`` is the plain dict, for the hot path; in order of first sending.
    """

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self.open: dict[int, Entry] = {}
        self.last = 0

    def enter(self, entry: Entry) -> int:
        """Give the entry a number and keep it until it is settled."""
        number = self.last = next(self._numbers)
        entry.number = number
        self.open[number] = entry
        return number

    def oldest(self) -> int:
        """No entry below this number is open."""
        try:
            return min(self.open, default=self.last + 1)
        except RuntimeError:  # another thread entered one meanwhile
            return 0
