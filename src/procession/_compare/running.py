"""The items of the sample through threads, and through processes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple

from procession._compare.laps import Clock, Lap, run_lap, total
from procession.pool import Pool

LAPS_A_WORKER = 8


class Run(NamedTuple):
    """What one way took.

    Attributes:
        start: seconds from nothing to workers that have answered.
        seconds: from the first item to the last result.
        kept_waiting: what of it other programs took from the thread that waits for the workers.
        lap: what the workers say of it.
        transport: seconds that the same pieces took with nothing to do.
    """

    start: float
    seconds: float
    kept_waiting: float
    lap: Lap
    transport: float = 0.0


def through_threads(function: Callable[[Any], Any], items: list[Any], workers: int) -> Run:
    """Run the items in so many threads."""
    begin = perf_counter()
    with ThreadPoolExecutor(workers) as executor:
        list(executor.map(_nothing, range(workers)))
        start = perf_counter() - begin
        with Clock() as clock:
            laps = list(executor.map(partial(_lap, function), _pieces(items, workers)))
    return Run(start, clock.wall, clock.kept_waiting, total(laps))


def through_processes(function: Callable[[Any], Any], items: list[Any], workers: int) -> Run:
    """Run the items in so many processes.

    Raises:
        Exception: what the pool raises: a worker died, a result can not be pickled.
    """
    begin = perf_counter()
    with Pool(workers) as pool:
        pool.map(_nothing, range(workers), chunksize=1)
        start = perf_counter() - begin
        pieces = _pieces(items, workers)
        with Clock() as transport:
            pool.map(_nothing, range(len(pieces)), chunksize=1)
        pool.map(partial(run_lap, function), [items[:1]] * workers, chunksize=1)  # imports
        with Clock() as clock:
            answers = pool.map(partial(run_lap, function), pieces, chunksize=1)
        pool.close()
        pool.join()
    lap = total(lap for lap, _ in answers)
    alone = transport.wall - transport.kept_waiting
    return Run(start, clock.wall, clock.kept_waiting, lap, alone)


def _nothing(_: int) -> None:
    """What a worker does that is only to show that it is there."""


def _lap(function: Callable[[Any], Any], items: list[Any]) -> Lap:
    return run_lap(function, items)[0]


def _pieces(items: list[Any], workers: int) -> list[list[Any]]:
    size = max(1, len(items) // (LAPS_A_WORKER * workers))
    return [items[start : start + size] for start in range(0, len(items), size)]
