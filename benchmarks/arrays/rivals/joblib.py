"""joblib, which puts arguments of more than 1 MB into files that its workers map."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from joblib import Parallel, delayed

from benchmarks.arrays.carrier import ArrayRival


class Rival(ArrayRival):
    title = "joblib.Parallel"
    distribution = "joblib"

    def __init__(self, workers: int) -> None:
        self.parallel = Parallel(n_jobs=workers)
        self.parallel.__enter__()  # else each call would look for workers anew

    @classmethod
    def open(cls, workers: int) -> Rival:
        return cls(workers)

    def close(self) -> None:
        self.parallel.__exit__(None, None, None)

    def map_each(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Iterable[Any]:
        return self.call_each(function, [(item,) for item in items])

    def call_each(
        self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]
    ) -> list[Any]:
        call = delayed(function)
        results: list[Any] = self.parallel(call(*each) for each in arguments)
        return results

    def shared(self, array: Any) -> Any:
        return array  # it does so by itself
