"""The standard library's Pool, forked when the array is there: the workers have it already."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from benchmarks.arrays.carrier import PoolShape
from benchmarks.contract import NotOffered

CONTEXT = multiprocessing.get_context("fork")

inherited: Any = None


class Inherited:
    """Leads to what was there when the worker was forked."""

    def find(self) -> Any:
        """The array."""
        return inherited


class Rival(PoolShape):
    title = "multiprocessing.Pool (fork), the array inherited"
    only_shared = True

    def __init__(self, pool: Any, workers: int) -> None:
        super().__init__(pool)
        self.workers = workers

    @classmethod
    def open(cls, workers: int) -> Rival:
        return cls(CONTEXT.Pool(workers), workers)

    def map_each(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Iterable[Any]:
        raise NotOffered

    def shared(self, array: Any) -> Any:
        global inherited
        inherited = array
        self.close()
        self.pool = CONTEXT.Pool(self.workers)
        self.pool.map(abs, range(100))
        return Inherited()
