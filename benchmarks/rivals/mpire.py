"""mpire. Its workers are kept alive between calls: by default each map call starts new ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from mpire import WorkerPool

from benchmarks import contract
from benchmarks.contract import Function


class Rival(contract.PoolRival):
    title = "mpire.WorkerPool"
    distribution = "mpire"

    def __init__(self, pool: Any) -> None:
        self.pool = pool

    @classmethod
    def open(cls, workers: int) -> Rival:
        return cls(WorkerPool(workers, keep_alive=True))

    def close(self) -> None:
        self.pool.stop_and_join()

    def round_trip(self, function: Function, argument: int) -> int:
        result: int = self.pool.apply(function, (argument,))
        return result

    def submit_all(self, function: Function, arguments: Iterable[int]) -> list[int]:
        submit = self.pool.apply_async
        return [task.get() for task in [submit(function, (value,)) for value in arguments]]

    def map_all(self, function: Function, arguments: Sequence[int]) -> list[int]:
        results: list[int] = self.pool.map(function, arguments)
        return results

    def imap_all(self, function: Function, arguments: Iterable[int]) -> Iterable[int]:
        results: Iterable[int] = self.pool.imap(function, arguments, chunk_size=1)
        return results

    def imap_unordered_all(self, function: Function, arguments: Iterable[int]) -> Iterable[int]:
        results: Iterable[int] = self.pool.imap_unordered(function, arguments, chunk_size=1)
        return results
