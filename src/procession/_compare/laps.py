"""A few items in a row, with the clocks beside them: the same in all three ways."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from resource import RUSAGE_THREAD, getrusage
from time import perf_counter, thread_time
from typing import Any, NamedTuple, Self


class Lap(NamedTuple):
    """What some items took, in seconds of the thread that ran them.

    Attributes:
        wall: from begin to end.
        cpu: computing.
        kept_waiting: ready to run, but other programs had the CPUs.
        failed: how many items raised.
        error: what the first of them raised, in short.
    """

    items: int
    wall: float
    cpu: float
    kept_waiting: float
    failed: int = 0
    error: str | None = None

    @property
    def idle(self) -> float:
        """Neither computing nor kept from it by other programs: waiting for something."""
        return max(0.0, self.wall - self.cpu - self.kept_waiting)


def total(laps: Iterable[Lap]) -> Lap:
    """All of them together."""
    laps = list(laps)
    return Lap(
        items=sum(lap.items for lap in laps),
        wall=sum(lap.wall for lap in laps),
        cpu=sum(lap.cpu for lap in laps),
        kept_waiting=sum(lap.kept_waiting for lap in laps),
        failed=sum(lap.failed for lap in laps),
        error=next((lap.error for lap in laps if lap.error is not None), None),
    )


def run_lap(function: Callable[[Any], Any], items: list[Any]) -> tuple[Lap, list[Any]]:
    """Call the function with each item; what takes the time, and the results.

    In the place of a result that was not there is None.
    """
    results: list[Any] = []
    failed, first_error = 0, None
    with Clock() as clock:
        for item in items:
            try:
                results.append(function(item))
            except Exception as error:
                results.append(None)
                failed += 1
                first_error = first_error or f"{type(error).__name__}: {error}"
    lap = Lap(len(items), clock.wall, clock.cpu, clock.kept_waiting, failed, first_error)
    return lap, results


class Clock:
    """Around what is measured, in one thread: wall, cpu and kept_waiting, as in ``Lap``."""

    def __enter__(self) -> Self:
        try:
            self._schedule = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # a kernel without these statistics
            self._schedule = -1
        self._pauses = getrusage(RUSAGE_THREAD).ru_nvcsw
        self.wall, self.kept_waiting, self.cpu = perf_counter(), self._waited(), thread_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.cpu = thread_time() - self.cpu
        waited = self._waited() - self.kept_waiting
        self.wall = perf_counter() - self.wall  # last: it was waiting within this time
        lost = max(0.0, self.wall - self.cpu)
        has_paused = getrusage(RUSAGE_THREAD).ru_nvcsw > self._pauses
        # What never waits for anything has lost that time to others, to other machines for one.
        self.kept_waiting = min(waited, lost) if has_paused else lost
        if self._schedule >= 0:
            os.close(self._schedule)

    def _waited(self) -> float:
        """Seconds for which this thread was ready to run so far, and had no CPU."""
        if self._schedule < 0:
            return 0.0
        return int(os.pread(self._schedule, 100, 0).split()[1]) / 1e9
