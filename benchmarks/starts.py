"""How long until a started process runs: each start method, ours beside the standard library's.

    python -m benchmarks.starts [--rounds 5] [--starts 40] [--megabytes 50 4096] [--threads 0]

Timed is from before start() to the first byte that the child's target sends, in a warm parent: one
process was started the same way before. Between two starts the parent sleeps for 10 ms. Each figure
is the median over the rounds, in milliseconds, then the least and the greatest. A round runs each
method and package once, in a process of its own, with so many megabytes in use.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import threading
from statistics import median
from time import perf_counter, sleep
from typing import Any

METHODS = ("fork", "spawn", "forkserver")
PACKAGES = ("procession", "multiprocessing")
PAUSE = 0.01
PAGE = 4096


def tell(connection: Any) -> None:
    """What the child does: show that it runs."""
    os.write(connection.fileno(), b"x")


def cell(package: str, method: str, megabytes: int, threads: int, starts: int) -> float:
    """The median of so many starts, in seconds."""
    ballast = bytearray(megabytes << 20)
    ballast[::PAGE] = b"x" * len(ballast[::PAGE])
    for _ in range(threads):
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    context = importlib.import_module(package).get_context(method)
    taken = []
    for _ in range(starts + 1):
        here, there = context.Pipe()
        process = context.Process(target=tell, args=(there,))
        sleep(PAUSE)
        begin = perf_counter()
        process.start()
        os.read(here.fileno(), 1)
        taken.append(perf_counter() - begin)
        process.join()
        here.close()
        there.close()
    return median(taken[1:])


def measure(order: list[Any]) -> float:
    """A cell, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.starts", "--cell", json.dumps(order)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


def spread(values: list[float]) -> str:
    """``median (least-greatest)``, in milliseconds."""
    low, middle, high = (1e3 * value for value in (min(values), median(values), max(values)))
    return f"{middle:.3g} ({low:.3g}–{high:.3g})"


def main() -> None:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.starts")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--starts", type=int, default=40, help="of each cell")
    parser.add_argument("--megabytes", type=int, nargs="+", default=[50, 4096])
    parser.add_argument("--threads", type=int, default=0, help="in the parent")
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.cell:
        print(cell(*json.loads(options.cell)))
        return
    print("| start method | parent | procession, ms | multiprocessing, ms | ratio |")
    print("|---|---:|---:|---:|---:|")
    for megabytes in options.megabytes:
        found: dict[tuple[str, str], list[float]] = {}
        for number in range(options.rounds):
            for method in METHODS:
                for package in PACKAGES[:: 1 if number % 2 else -1]:
                    order = [package, method, megabytes, options.threads, options.starts]
                    found.setdefault((method, package), []).append(measure(order))
        for method in METHODS:
            ours, theirs = (found[method, package] for package in PACKAGES)
            ratio = median(theirs) / median(ours)
            print(
                f"| {method} | {megabytes} MB | {spread(ours)} | {spread(theirs)} | {ratio:.2f} × |"
            )


if __name__ == "__main__":
    main()
