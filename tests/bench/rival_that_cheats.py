"""A rival that offers little, and gets it wrong."""

from __future__ import annotations

from benchmarks import contract
from benchmarks.contract import Function


class Rival(contract.PoolRival):
    title = "one that cheats"

    @classmethod
    def open(cls, workers: int) -> Rival:
        return cls()

    def close(self) -> None:
        pass

    def round_trip(self, function: Function, argument: int) -> int:
        return -1
