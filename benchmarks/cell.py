"""One cell, in a process of its own: `python -m benchmarks.cell ORDER FILE`.

ORDER is an Order as JSON; the Outcome is written to FILE as JSON. (No pipe: a worker that stays
behind would keep it open.)
"""

from __future__ import annotations

import json
import math
import os
import sys
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version
from time import perf_counter

from benchmarks.contract import Case, NotOffered, Order, Outcome, Rival, Status
from benchmarks.suite import load_suite

WARM_UP_SHARE = 0.1
"""Share of the budget for repeating the first pilot, lest late workers pass for slow ones."""
PILOT_SHARE = 0.05
"""A pilot that took this share of the budget tells enough about the speed."""


def measure(order: Order) -> tuple[Outcome, Rival | None]:
    """Do what the order says. Whatever goes wrong becomes part of the outcome.

    The rival, if it was opened, is still open: ending it is no part of the measurement.
    """
    chosen = load_suite(order.suite)
    case = chosen.cases[order.case]
    try:
        adapter = chosen.load(order.rival)
    except ModuleNotFoundError as error:
        return Outcome(Status.NOT_INSTALLED, reason=str(error)), None
    about = Outcome(Status.FAILED, title=adapter.title, version=version_of(adapter.distribution))
    noise = fixed_loop()
    rival = None
    try:
        rival = adapter.open(order.workers)
        rival.workers = order.workers
        n = affordable(case, rival, order.n, order.budget)
        seconds = case.run(rival, n)
    except NotOffered:
        return replace(about, status=Status.NOT_OFFERED), rival
    except Exception as error:
        return replace(about, reason=in_short(error)), rival
    return replace(about, status=Status.MEASURED, seconds=seconds, n=n, noise=noise), rival


def version_of(distribution: str | None) -> str:
    """The version of an installed distribution; that of Python for what comes with it."""
    if distribution is None:
        return f"Python {python_version()}"
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "unknown"


def in_short(error: Exception) -> str:
    """One line about what went wrong."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def fixed_loop() -> float:
    """Seconds that the same work takes every time on a quiet machine."""
    start = perf_counter()
    total = 0
    for value in range(200_000):
        total += value & 7
    return perf_counter() - start


def affordable(case: Case, rival: Rival, n: int, budget: float) -> int:
    """Warm the rival up, then grow pilots: how many items, at most `n`, fit into the budget?"""
    size = min(n, case.pilot)
    warm = perf_counter() + budget * WARM_UP_SHARE
    while True:
        case.run(rival, size)
        if perf_counter() > warm:
            break
    while True:
        start = perf_counter()
        case.run(rival, size)
        taken = perf_counter() - start
        if size * 10 >= n or taken > budget * PILOT_SHARE:
            break
        size *= 10
    return min(n, max(size, round_down(budget * size / taken)))


def round_down(number: float) -> int:
    """To two digits: 12,345 becomes 12,000."""
    if number < 100:
        return int(number)
    unit = 10 ** (math.floor(math.log10(number)) - 1)
    return int(number // unit * unit)


def write_whole(path: Path, text: str) -> None:
    """Write a file that is there only once it is complete."""
    unfinished = path.with_suffix(".part")
    unfinished.write_text(text)
    os.replace(unfinished, path)


def main() -> None:
    """Leave the outcome in the file, whole or not at all, and only then end the rival."""
    outcome, rival = measure(Order(**json.loads(sys.argv[1])))
    write_whole(Path(sys.argv[2]), json.dumps(asdict(outcome)))
    if rival is not None:
        rival.close()


if __name__ == "__main__":
    main()
