"""The two shapes that most rivals have: multiprocessing's Pool and concurrent.futures' Executor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import as_completed
from typing import Any

from benchmarks.contract import Function, PoolRival


class PoolShape(PoolRival):
    """Has the methods of ``multiprocessing.Pool``."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool

    def close(self) -> None:
        self.pool.close()
        self.pool.join()

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
        results: Iterable[int] = self.pool.imap(function, arguments, chunksize=1)
        return results

    def imap_unordered_all(self, function: Function, arguments: Iterable[int]) -> Iterable[int]:
        results: Iterable[int] = self.pool.imap_unordered(function, arguments, chunksize=1)
        return results


class ExecutorShape(PoolRival):
    """Has the methods of ``concurrent.futures.Executor``.

    Its map has no chunks unless it is told to, and yields in order: it serves for both.
    """

    def __init__(self, executor: Any) -> None:
        self.executor = executor

    def close(self) -> None:
        self.executor.shutdown()

    def round_trip(self, function: Function, argument: int) -> int:
        result: int = self.executor.submit(function, argument).result()
        return result

    def submit_all(self, function: Function, arguments: Iterable[int]) -> list[int]:
        submit = self.executor.submit
        return [future.result() for future in [submit(function, value) for value in arguments]]

    def map_all(self, function: Function, arguments: Sequence[int]) -> list[int]:
        return list(self.executor.map(function, arguments))

    def imap_all(self, function: Function, arguments: Iterable[int]) -> Iterable[int]:
        results: Iterable[int] = self.executor.map(function, arguments)
        return results

    def imap_unordered_all(self, function: Function, arguments: Iterable[int]) -> Iterable[int]:
        submit = self.executor.submit
        return (
            future.result() for future in as_completed([submit(function, v) for v in arguments])
        )
