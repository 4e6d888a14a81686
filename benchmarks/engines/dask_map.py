"""Tiny items on Dask: ``Pool(backend="dask").map`` beside ``Client.map`` and ``Client.gather``.

Both use the same cluster of two worker processes, after each has run something there. Dask's own
way makes a task of each item, which takes minutes for 100,000 of them: ``--theirs`` has it do
fewer, and then its time per item is what is compared.

    python -m benchmarks.engines.dask_map [--items 100000] [--theirs 100000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from importlib import import_module
from time import perf_counter
from typing import Any

from procession import Pool, backends

WORKERS = 2
FLOOR = 10.0
"""So many times as fast as Dask's own way is what must hold."""


def tiny(number: int) -> int:
    """Nothing that is worth a journey."""
    return number + 1


def timed(work: Callable[[], list[int]], items: int) -> float:
    """Seconds of it; its results are checked."""
    began = perf_counter()
    results = work()
    seconds = perf_counter() - began
    if results != list(range(1, items + 1)):
        raise AssertionError("wrong results")
    return seconds


def report(name: str, items: int, seconds: float) -> float:
    """Print a line; seconds per item."""
    each = seconds / items
    print(f"{name:24}{items:>9,} items{seconds:>10.3f} s{1e6 * each:>10.2f} µs an item", flush=True)
    return each


def theirs_on(client: Any, items: int) -> list[int]:
    """Dask's own way. Its keys are new each time: it would remember the results."""
    found: list[int] = client.gather(client.map(tiny, range(items), pure=False))
    return found


def main() -> int:
    """Run it; 1 if the floor does not hold."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--theirs", type=int, default=100_000, help="items for Dask's own way")
    parser.add_argument(
        "--rounds", type=int, default=3, help="of ours and serial; the median counts"
    )
    given = parser.parse_args()
    distributed = import_module("distributed")
    cluster = distributed.LocalCluster(
        WORKERS,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        silence_logs=logging.ERROR,
    )
    middle = given.rounds // 2
    with cluster, distributed.Client(cluster, set_as_default=False) as client:
        theirs_on(client, 200)
        # First, as nothing of ours is in the scheduler then.
        seconds = timed(lambda: theirs_on(client, given.theirs), given.theirs)
        with Pool(backend=backends.dask(client=client)) as pool:
            pool.map(tiny, range(200))
            serial, ours = (
                sorted(timed(work, given.items) for _ in range(given.rounds))[middle]
                for work in (
                    lambda: list(map(tiny, range(given.items))),
                    lambda: pool.map(tiny, range(given.items)),
                )
            )
        report("serial", given.items, serial)
        own = report("Pool(backend='dask').map", given.items, ours)
        other = report("Client.map and gather", given.theirs, seconds)
    print(f"Pool.map is {other / own:,.0f} times as fast as Client.map and gather, per item")
    return int(other < FLOOR * own)


if __name__ == "__main__":
    raise SystemExit(main())
