"""The standard library's Pool, the array put into a SharedMemory by hand."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from multiprocessing.resource_tracker import ensure_running
from multiprocessing.shared_memory import SharedMemory
from typing import Any, NamedTuple

import numpy as np

from benchmarks.arrays.carrier import PoolShape
from benchmarks.contract import NotOffered


class Named(NamedTuple):
    """Leads to an array of floats in a block of shared memory."""

    name: str
    length: int

    def find(self) -> Any:
        """The array."""
        return np.ndarray(self.length, buffer=attached(self.name).buf)


@cache
def attached(name: str) -> SharedMemory:
    """The block, once for each process."""
    return SharedMemory(name)


class Rival(PoolShape):
    title = "multiprocessing.Pool (fork) and SharedMemory"
    only_shared = True

    def __init__(self, pool: Any) -> None:
        super().__init__(pool)
        self.blocks: list[SharedMemory] = []

    @classmethod
    def open(cls, workers: int) -> Rival:
        ensure_running()  # else each worker would have a tracker of its own, with its own opinion
        return cls(multiprocessing.get_context("fork").Pool(workers))

    def close(self) -> None:
        super().close()
        self._unlink()

    def map_each(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Iterable[Any]:
        raise NotOffered

    def shared(self, array: Any) -> Any:
        self._unlink()
        block = SharedMemory(create=True, size=array.nbytes)
        self.blocks.append(block)
        np.copyto(np.ndarray(array.size, buffer=block.buf), array)
        return Named(block.name, array.size)

    def _unlink(self) -> None:
        while self.blocks:
            block = self.blocks.pop()
            block.close()
            block.unlink()
