"""A rival that works, but whose process does not end."""

from __future__ import annotations

import signal

from benchmarks import contract
from benchmarks.contract import Function


class Rival(contract.PoolRival):
    title = "one that stays"

    @classmethod
    def open(cls, workers: int) -> Rival:
        return cls()

    def close(self) -> None:
        while True:
            signal.pause()

    def round_trip(self, function: Function, argument: int) -> int:
        return function(argument)
