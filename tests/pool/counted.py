"""Inputs that know how far they were pulled, and when they are pulled no further."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.plugins.scripts import LIMIT


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


def await_rest(results: Any) -> None:
    """Wait until so many items were pulled as may be ahead."""
    until = time.monotonic() + LIMIT
    while results._job._room() > 0:
        assert time.monotonic() < until
        time.sleep(0.001)
