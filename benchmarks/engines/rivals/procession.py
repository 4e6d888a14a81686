"""Ourselves, on each engine."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from benchmarks.contract import Function
from benchmarks.engines.user import EngineRival
from procession.pool import Pool


class Rival(EngineRival):
    title = "procession.Pool"
    distribution = "procession"

    def __init__(self) -> None:
        self.pools: dict[str, Pool] = {}

    @classmethod
    def open(cls, workers: int) -> Rival:
        return cls()

    def close(self) -> None:
        for pool in self.pools.values():
            pool.close()
            pool.join()
        if "ray" in self.pools:
            import_module("ray").shutdown()

    def map_on_ray(self, function: Function, arguments: Sequence[int]) -> list[int]:
        if "ray" not in self.pools:
            import_module("benchmarks.engines.raying").begin(self.workers)
            self.pools["ray"] = Pool(self.workers, backend="ray")
        return self.pools["ray"].map(function, arguments)
