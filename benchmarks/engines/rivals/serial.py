"""No engine: a loop in one process."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.contract import Function
from benchmarks.engines.user import EngineRival


class Rival(EngineRival):
    title = "a list comprehension"

    @classmethod
    def open(cls, workers: int) -> Rival:
        return cls()

    def close(self) -> None:
        """Nothing to end."""

    def map_on_ray(self, function: Function, arguments: Sequence[int]) -> list[int]:
        return [function(value) for value in arguments]
