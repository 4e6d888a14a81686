"""A pool on Dask: the same program on one machine, and on many.

python examples/on_dask.py                                        (processes of this machine)
DASK_SCHEDULER_ADDRESS=tcp://10.0.0.1:8786 python examples/on_dask.py     (a cluster)
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy

import procession
from procession import Pool, TaskTimeout, WorkerDied


def squares_below(limit: int) -> int:
    """A tiny task."""
    return sum(1 for root in range(limit) if root * root < limit)


def share_of(weights: numpy.ndarray, part: int) -> float:
    """A task on data that all tasks have in common."""
    return float(weights[part::4].sum() / weights.sum())


def end_worker() -> None:
    """A task with a mistake that costs its process."""
    os.kill(os.getpid(), signal.SIGKILL)


def end_worker_once(mark: str) -> str:
    """The same, but only the first time. (The mark is a file that all machines see.)"""
    if not Path(mark).exists():
        Path(mark).touch()
        end_worker()
    return "done, the second time"


def wait_for(path: str) -> str:
    """A task that waits for what may never come."""
    with open(path) as pipe:
        return pipe.read()


def endless() -> Iterator[int]:
    """More items than anybody could hold: only so many are taken as are worked on."""
    yield from count(1)


def main(folder: str) -> None:
    """One after the other."""
    weights = procession.share(numpy.arange(400_000.0))
    with Pool(backend="dask") as pool:
        print("map:", sum(pool.map(squares_below, range(2000))))
        print("imap:", list(islice(pool.imap(squares_below, endless()), 5)))
        shares = pool.starmap(share_of, [(weights, part) for part in range(4)])
        print("shared:", [round(share, 3) for share in shares])

        try:
            pool.apply(end_worker)
        except WorkerDied as error:
            print("died:", "on a node we know" if error.node and error.pid else "somewhere")
        retried = pool.options(retries=2).apply(end_worker_once, (f"{folder}/mark",))
        print("retried:", retried)

        never = f"{folder}/never"
        os.mkfifo(never)
        try:
            pool.options(timeout=0.2).apply(wait_for, (never,))
        except TaskTimeout:
            print("given up: it runs on, and keeps its place until it ends")
        Path(never).write_text("")  # now it ends


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        main(folder)
