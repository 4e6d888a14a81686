"""One program for one machine and for a Ray cluster: which of ours is the darkest picture?

    python examples/on_ray.py                                  # starts a Ray here, and ends it
    RAY_ADDRESS=10.0.0.1:6379 python examples/on_ray.py        # runs on all nodes of that one

Every node needs Ray, procession and NumPy, in the same versions; see docs/howto/ray.md.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import numpy as np

import procession

PICTURES, SIDE = 400, 128


def brightness(number: int, pictures: np.ndarray) -> tuple[float, int]:
    """The work: all tasks of a node see the same memory, in which all pictures are."""
    return float(pictures[number].mean()), number


def fragile(number: int) -> int:
    """Kills its worker, every eighth time or so."""
    if os.urandom(1)[0] < 32:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def numbers() -> Iterator[int]:
    """An endless input: it is read only as far as results are taken."""
    number = 0
    while True:
        yield number
        number += 1


def main() -> None:
    """A map over shared data, a task that is given up, deaths that are tried again."""
    with procession.Pool(backend="ray") as pool:
        random = np.random.default_rng(7)
        pictures = procession.share(random.random((PICTURES, SIDE, SIDE)))
        tasks = ((number, pictures) for number in range(PICTURES))
        darkest, number = min(pool.starmap(brightness, tasks))
        print(f"the darkest of {PICTURES} pictures is number {number}: {darkest:.4f}")

        squares = pool.imap(pow_of_two, numbers())
        print("the first powers of two:", [next(squares) for _ in range(8)])
        squares.close()

        try:
            pool.options(timeout=0.5).apply(signal.pause)
        except procession.TaskTimeout:
            print("a task that did not end was stopped")

        assert pool.options(retries=50).map(fragile, range(12)) == list(range(12))
        print("workers died now and then, and nothing was lost")


def pow_of_two(exponent: int) -> int:
    """2, so many times."""
    return int(2**exponent)


if __name__ == "__main__":
    main()
