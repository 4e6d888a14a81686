"""The cases, in the order of the report. Arrays are of float64, and new in each run: an array that
is sent a second time may be noticed, and that is not what is to be measured, but in ``argument``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.arrays import work
from benchmarks.arrays.carrier import ArrayRival
from benchmarks.contract import MICROSECONDS, Case, NotOffered, Unit

KIB, MIB = 1 << 10, 1 << 20
LARGE = 32 * MIB
HUGE = 256 * MIB
ARRAYS = 32
TASKS = 64
FLOAT = 8

RATE = Unit("GB/s", LARGE / 1e9, rate=True)
MILLISECONDS = Unit(f"ms for {TASKS} tasks", TASKS * 1e3)


def expect(results: Iterable[Any], wanted: list[float]) -> None:
    """Raise ValueError unless the results are the numbers wanted."""
    found = list(results)
    if found != wanted:
        raise ValueError(f"wrong results: {found[:3]} for {wanted[:3]}")


@dataclass(frozen=True)
class Inwards:
    """A map over arrays, each all of one value; a number comes back for each.

    Attributes:
        size: bytes of an array.
        function: what a worker does with it.
        of_value: how often the value is in that number.
    """

    size: int
    function: Callable[[Any], float]
    of_value: int

    def run(self, rival: ArrayRival, n: int) -> float:
        """Seconds for one array."""
        arrays = [np.full(self.size // FLOAT, float(value)) for value in range(1, n + 1)]
        start = perf_counter()
        results = rival.map_each(self.function, arrays)
        taken = perf_counter() - start
        expect(results, [float(self.of_value * value) for value in range(1, n + 1)])
        return taken / n


@dataclass(frozen=True)
class Outwards:
    """A map whose results are arrays, each all of one value.

    Attributes:
        size: bytes of an array.
    """

    size: int

    def run(self, rival: ArrayRival, n: int) -> float:
        """Seconds for one array."""
        length = self.size // FLOAT
        wishes = [(value, length) for value in range(n)]
        start = perf_counter()
        results = rival.map_each(work.fill, wishes)
        taken = perf_counter() - start
        for value, array in enumerate(results):
            if array.shape != (length,) or array.dtype != float or (array != value).any():
                raise ValueError(f"wrong result: no. {value} is {array!r}")
        return taken / n


@dataclass(frozen=True)
class ToMany:
    """Single calls that are all given the same array; each has its own part of it to read.

    Attributes:
        size: bytes of the array.
        parts: how many there are at most.
        function: what a worker does with the array, the number of its part, and that of parts.
        of_part: how much of a part is in its result, the part's whole being its length.
        shared: whether the array is shared before the clock starts.
    """

    size: int
    parts: int
    function: Callable[[Any, int, int], float]
    of_part: float
    shared: bool

    def run(self, rival: ArrayRival, n: int) -> float:
        """Seconds for one call."""
        if rival.only_shared and not self.shared:
            raise NotOffered
        array = np.repeat(np.arange(float(self.parts)), self.size // FLOAT // self.parts)
        each = max(1, round(self.of_part * (array.size // self.parts)))
        given = rival.shared(array) if self.shared else array
        calls = [(given, number, self.parts) for number in range(n)]
        start = perf_counter()
        results = rival.call_each(self.function, calls)
        taken = perf_counter() - start
        expect(results, [float(number * each) for number in range(n)])
        return taken / n


def _inwards(name: str, size: int, n: int) -> Case:
    case = Inwards(size, work.total, size // FLOAT)
    return Case(f"{name} in, their sum back", n, case.run, MICROSECONDS)


def _outwards(name: str, size: int, n: int) -> Case:
    return Case(f"{name} out", n, Outwards(size).run, MICROSECONDS)


def _to_many(title: str, function: Callable[..., float], of_part: float, shared: bool) -> Case:
    case = ToMany(HUGE, TASKS, function, of_part, shared)
    # Where it is shared the tasks take less time than to make the array: nobody needs fewer.
    return Case(title, TASKS, case.run, MILLISECONDS, pilot=TASKS if shared else 2)


CASES = {
    "in_sum": Case(
        "arrays of 32 MiB in, their sum back",
        ARRAYS,
        Inwards(LARGE, work.total, LARGE // FLOAT).run,
        RATE,
        pilot=2,
    ),
    "in_touch": Case(
        "arrays of 32 MiB in, one element back",
        ARRAYS,
        Inwards(LARGE, work.touch, 1).run,
        RATE,
        pilot=2,
    ),
    # As many have come out before: what memory the rival keeps, it has.
    "out": Case(
        "arrays of 32 MiB made and sent out", ARRAYS, Outwards(LARGE).run, RATE, pilot=ARRAYS
    ),
    "out_first": Case(
        "the same, most of them in memory new to the rival",
        ARRAYS,
        Outwards(LARGE).run,
        RATE,
        pilot=2,
    ),
    "shared_sum": _to_many(
        "256 MiB shared before, each task sums its part", work.total_of_part, 1, True
    ),
    "shared_touch": _to_many(
        "256 MiB shared before, each task reads one element", work.touch_part, 0, True
    ),
    "argument": _to_many(
        "256 MiB as an argument, each task reads one element", work.touch_part, 0, False
    ),
    "in_8k": _inwards("arrays of 8 KiB", 8 * KIB, 4_000),
    "in_64k": _inwards("arrays of 64 KiB", 64 * KIB, 2_000),
    "in_1m": _inwards("arrays of 1 MiB", MIB, 256),
    "out_8k": _outwards("arrays of 8 KiB", 8 * KIB, 4_000),
    "out_64k": _outwards("arrays of 64 KiB", 64 * KIB, 2_000),
    "out_1m": _outwards("arrays of 1 MiB", MIB, 256),
}
