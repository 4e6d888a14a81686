"""Ray's own pool."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ray
from ray.util.multiprocessing import Pool

from benchmarks.contract import Function
from benchmarks.engines.raying import begin
from benchmarks.engines.user import EngineRival


class Rival(EngineRival):
    title = "ray.util.multiprocessing.Pool"
    distribution = "ray"

    def __init__(self, pool: Any) -> None:
        self.pool = pool

    @classmethod
    def open(cls, workers: int) -> Rival:
        begin(workers)
        return cls(Pool(workers))

    def close(self) -> None:
        self.pool.terminate()
        ray.shutdown()

    def map_on_ray(self, function: Function, arguments: Sequence[int]) -> list[int]:
        results: list[int] = self.pool.map(function, arguments)
        return results
