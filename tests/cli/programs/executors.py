"""Executors by all their names, with their errors and their futures."""

from __future__ import annotations

import concurrent.futures
import concurrent.futures.process
import multiprocessing
import os
import sys
from concurrent.futures import *  # noqa: F403
from concurrent.futures import ProcessPoolExecutor, as_completed, wait
from concurrent.futures.process import BrokenProcessPool


def square(number: int) -> int:
    return number * number


def name() -> str:
    return multiprocessing.current_process().name


if __name__ == "__main__":
    # What waits in a buffer would be printed by a worker, too, that is forked meanwhile.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    kinds = {
        concurrent.futures.ProcessPoolExecutor,
        concurrent.futures.process.ProcessPoolExecutor,
        ProcessPoolExecutor,
        vars(sys.modules["__main__"])["ProcessPoolExecutor"],
    }
    print(len(kinds), ProcessPoolExecutor.__name__)
    for method in ("fork", "spawn", "forkserver"):
        context = multiprocessing.get_context(method)
        with ProcessPoolExecutor(1, mp_context=context) as executor:
            print(executor.submit(name).result().rpartition("-")[0])
            futures = [executor.submit(square, number) for number in range(4)]
            print(len(wait(futures).done), sorted(one.result() for one in as_completed(futures)))
            print(list(executor.map(square, [5, 6], chunksize=2)))
            try:
                executor.submit(os._exit, 3).result()
            except BrokenProcessPool:
                print("broken")
