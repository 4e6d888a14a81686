"""pebble. Its map has no chunks unless it is told to, and yields in order: it serves for both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import as_completed
from typing import Any

from pebble import ProcessPool

from benchmarks import contract
from benchmarks.contract import Function


class Rival(contract.PoolRival):
    title = "pebble.ProcessPool"
    distribution = "pebble"

    def __init__(self, pool: Any) -> None:
        self.pool = pool

    @classmethod
    def open(cls, workers: int) -> Rival:
        return cls(ProcessPool(workers))

    def close(self) -> None:
        self.pool.close()
        self.pool.join()

    def round_trip(self, function: Function, argument: int) -> int:
        result: int = self.pool.schedule(function, (argument,)).result()
        return result

    def submit_all(self, function: Function, arguments: Iterable[int]) -> list[int]:
        submit = self.pool.schedule
        return [future.result() for future in [submit(function, (value,)) for value in arguments]]

    def map_all(self, function: Function, arguments: Sequence[int]) -> list[int]:
        return list(self.imap_all(function, arguments))

    def imap_all(self, function: Function, arguments: Iterable[int]) -> Iterable[int]:
        results: Iterable[int] = self.pool.map(function, arguments).result()
        return results

    def imap_unordered_all(self, function: Function, arguments: Iterable[int]) -> Iterable[int]:
        submit = self.pool.schedule
        futures = [submit(function, (value,)) for value in arguments]
        return (future.result() for future in as_completed(futures))
