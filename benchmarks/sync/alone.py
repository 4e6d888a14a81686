"""What one process does with nobody in its way.

A cell's figure is the median of slices. The loop around the work is a part of it, some nanoseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat
from statistics import median
from time import perf_counter
from typing import Any

from benchmarks.sync.kit import KitRival

SLICES = 20


def _sliced(work: Callable[[int], object], n: int) -> float:
    """Seconds for one of at least `n` items, in slices of the same size."""
    size = -(-n // SLICES)
    taken = []
    for _ in range(SLICES):
        start = perf_counter()
        work(size)
        taken.append(perf_counter() - start)
    return median(taken) / size


def lock(rival: KitRival, n: int) -> float:
    """Acquire and release a lock."""
    return _taken_and_released(rival.kit.Lock(), n)


def rlock(rival: KitRival, n: int) -> float:
    """The same with a recursive lock."""
    return _taken_and_released(rival.kit.RLock(), n)


def semaphore(rival: KitRival, n: int) -> float:
    """The same with a semaphore of one."""
    return _taken_and_released(rival.kit.Semaphore(1), n)


def _taken_and_released(what: Any, n: int) -> float:
    acquire, release = what.acquire, what.release

    def work(size: int) -> None:
        for _ in repeat(None, size):
            acquire()
            release()

    return _sliced(work, n)


def with_lock(rival: KitRival, n: int) -> float:
    """A lock around nothing."""
    guard = rival.kit.Lock()

    def work(size: int) -> None:
        for _ in repeat(None, size):
            with guard:
                pass

    return _sliced(work, n)


def is_set(rival: KitRival, n: int) -> float:
    """Look at an event that is set."""
    event = rival.kit.Event()
    event.set()
    look = event.is_set

    def work(size: int) -> None:
        for _ in repeat(None, size):
            look()

    taken = _sliced(work, n)
    if look() is not True:
        raise ValueError("an event that was set is not")
    return taken


def value_add(rival: KitRival, n: int) -> float:
    """Add one to a shared value under its lock."""
    shared = rival.kit.Value("l", 0)
    guard = shared.get_lock()

    def work(size: int) -> None:
        for _ in repeat(None, size):
            with guard:
                shared.value += 1

    return _counted(work, n, shared)


def raw_value_add(rival: KitRival, n: int) -> float:
    """Add one to a shared value that has no lock."""
    shared = rival.kit.RawValue("l", 0)

    def work(size: int) -> None:
        for _ in repeat(None, size):
            shared.value += 1

    return _counted(work, n, shared)


def _counted(work: Callable[[int], object], n: int, shared: Any) -> float:
    taken = _sliced(work, n)
    added = -(-n // SLICES) * SLICES
    if shared.value != added:
        raise ValueError(f"{added} times one were added, and there are {shared.value}")
    return taken
