"""One call after the other, until the time is up; and what it costs to pickle the items."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from time import perf_counter, thread_time
from typing import Any, NamedTuple

from procession._codec.objects import dumps, loads
from procession._compare.laps import Lap, run_lap, total

MOST_ITEMS = 20_000
MOST_BYTES = 256 << 20
"""Of the items that are kept, pickled."""

_PICKLED = 200
"""Items whose pickling is measured, at most."""


class NoItemsError(ValueError):
    """There is nothing to compare with."""


class Sample(NamedTuple):
    """The items, and what they took one after the other.

    Attributes:
        is_whole: whether these are all the items there are.
    """

    items: list[Any]
    results: list[Any]
    lap: Lap
    is_whole: bool


class Pickling(NamedTuple):
    """What pickling costs, for each item: there and back, at both ends.

    Attributes:
        failure: what can not be pickled, and why, if so.
    """

    seconds: float = 0.0
    argument_bytes: float = 0.0
    result_bytes: float = 0.0
    failure: str | None = None


def take_sample(function: Callable[[Any], Any], items: Iterable[Any], seconds: float) -> Sample:
    """Call the function with item after item for so many seconds, at least with one.

    The first item is called twice: what the first call of all has to set up is not counted.

    Raises:
        NoItemsError: there are no items.
        Exception: what the function raises, if it does so for each of them.
    """
    source = iter(items)
    taken = list(islice(source, 1))
    if not taken:
        raise NoItemsError("there are no items to compare with")
    until = perf_counter() + seconds
    run_lap(function, taken)
    most = min(MOST_ITEMS, max(1, MOST_BYTES // max(1, _size(taken[0]))))
    lap, results = run_lap(function, taken)
    laps, count, is_whole = [lap], 1, False
    while perf_counter() < until and len(taken) < most:
        # Twice as many each time, as far as they are likely to end in time.
        fitting = int(len(taken) * (until - perf_counter()) / max(1e-9, total(laps).wall))
        count = max(1, min(2 * count, fitting, most - len(taken)))
        more = list(islice(source, count))
        lap, values = run_lap(function, more)
        laps.append(lap)
        taken += more
        results += values
        if len(more) < count:
            is_whole = True
            break
    lap = total(laps)
    if lap.failed == lap.items:
        function(taken[0])  # raises it once more, for the caller
    return Sample(taken, results, lap, is_whole)


def _size(item: Any) -> int:
    try:
        return len(dumps(item))
    except Exception:  # said in measure_pickling()
        return 1


def measure_pickling(function: Callable[[Any], Any], sample: Sample, seconds: float) -> Pickling:
    """Pickle and unpickle items and results as a pool does, for so many seconds at most."""
    try:
        dumps(function)
    except Exception as error:
        return Pickling(failure=f"the function can not be pickled: {error}")
    until = perf_counter() + seconds
    taken = argument_bytes = result_bytes = 0
    spent = 0.0
    what = "an item"
    try:
        for item, result in zip(sample.items[:_PICKLED], sample.results, strict=False):
            start = thread_time()
            what = "an item"
            argument = dumps(item)
            loads(argument)
            what = "a result"
            answer = dumps(result)
            loads(answer)
            spent += thread_time() - start
            taken += 1
            argument_bytes += len(argument)
            result_bytes += len(answer)
            if perf_counter() > until:
                break
    except Exception as error:
        return Pickling(failure=f"{what} can not be pickled: {error}")
    return Pickling(spent / taken, argument_bytes / taken, result_bytes / taken)
