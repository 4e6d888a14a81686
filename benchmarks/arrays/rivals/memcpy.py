"""The floor: each array is copied once, in this process, to where others were copied before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from benchmarks.arrays.carrier import ArrayRival


class Rival(ArrayRival):
    title = "one copy (np.copyto), warm"
    distribution = "numpy"

    def __init__(self) -> None:
        self.room = np.ones(0)
        self.made = np.ones(0)

    @classmethod
    def open(cls, workers: int) -> Rival:
        return cls()

    def close(self) -> None:
        pass

    def map_each(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Iterable[Any]:
        """The function is called where the results are looked at: out of the clock's sight."""
        for item in items:
            array = item if isinstance(item, np.ndarray) else self._made_before(item[1])
            if self.room.size != array.size:
                self.room = np.ones(array.size)
            np.copyto(self.room, array)
        return map(function, items)

    def _made_before(self, length: int) -> Any:
        if self.made.size != length:
            self.made = np.ones(length)
        return self.made
