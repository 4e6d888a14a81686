"""What the rivals have to offer for arrays, and the shapes that most of them have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

from benchmarks.contract import NotOffered, Rival


class ArrayRival(Rival):
    """A pool with its workers, given arrays or giving them back.

    What a subclass leaves undefined it does not offer.
    """

    only_shared: ClassVar[bool] = False
    """It is there for the cases in which an array is shared."""

    def map_each(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Iterable[Any]:
        """One map call, with the rival's own choice of chunks. All is done when it returns."""
        raise NotOffered

    def call_each(
        self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]
    ) -> list[Any]:
        """One call for each tuple of arguments; all are sent before the first is waited for."""
        raise NotOffered

    def shared(self, array: Any) -> Any:
        """What its tasks are given instead of an array that all of them need."""
        raise NotOffered


class PoolShape(ArrayRival):
    """Has the methods of ``multiprocessing.Pool``."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool

    def close(self) -> None:
        self.pool.close()
        self.pool.join()

    def map_each(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Iterable[Any]:
        results: list[Any] = self.pool.map(function, items)
        return results

    def call_each(
        self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]
    ) -> list[Any]:
        submit = self.pool.apply_async
        return [task.get() for task in [submit(function, each) for each in arguments]]


class ExecutorShape(ArrayRival):
    """Has the methods of ``concurrent.futures.Executor``."""

    def __init__(self, executor: Any) -> None:
        self.executor = executor

    def close(self) -> None:
        self.executor.shutdown()

    def map_each(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Iterable[Any]:
        return list(self.executor.map(function, items))

    def call_each(
        self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]
    ) -> list[Any]:
        submit = self.executor.submit
        return [future.result() for future in [submit(function, *each) for each in arguments]]
