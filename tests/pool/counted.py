"""Inputs that know how far they were pulled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any


class Counted:
    """An endless input that knows how far it was pulled."""

    def __init__(self, make: Callable[[int], Any] = int) -> None:
        self.pulled = 0
        self._make = make

    def __iter__(self) -> Iterator[Any]:
        while True:
            number = self.pulled
            self.pulled += 1
            yield self._make(number)
