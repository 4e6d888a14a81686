"""What runs on Dask's workers in the tests, and tells of itself through FIFOs and files.

The nodes are one machine, so they have these in common. Opening a FIFO waits for its other end: so
a test knows that a task has begun, and decides when it goes on, without a look at any clock.
"""

from __future__ import annotations

import os
import signal
import time
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import numpy

from procession import Pool


class Whereabouts(NamedTuple):
    """Where a task runs."""

    pid: int
    host: str


class Gate:
    """A task says that it has begun, and waits there until it is let go."""

    def __init__(self, folder: Path, name: str) -> None:
        self._begun, self._held = folder / f"{name}.begun", folder / f"{name}.held"
        os.mkfifo(self._begun)
        os.mkfifo(self._held)

    def pass_through(self) -> None:
        """For the task."""
        where = here()
        self._begun.write_text(f"{where.pid} {where.host}\n")
        self._held.read_text()

    def await_task(self) -> Whereabouts:
        """For the test: wait until it has begun; if several have, this tells of one of them."""
        pid, host = self._begun.read_text().splitlines()[0].split()
        return Whereabouts(int(pid), host)

    def open(self) -> None:
        """For the test: let it go on. It must be there."""
        self._held.write_text("")

    def remove(self) -> None:
        """For the test: let all go on, those that come later, too."""
        ends = []
        for path in (self._begun, self._held):
            ends.append(os.open(path, os.O_RDWR))  # lets in who waits for the other end
            free = path.with_suffix(".free")
            free.touch()
            free.replace(path)
        for end in ends:
            os.close(end)


def here() -> Whereabouts:
    """Where this runs."""
    address = import_module("distributed").get_worker().address
    return Whereabouts(os.getpid(), address.partition("//")[2].rpartition(":")[0])


def through(gate: Gate, value: object) -> object:
    """A task that is held."""
    gate.pass_through()
    return value


def note(path: Path) -> int:
    """Note a run; how many there were."""
    with path.open("a") as file:
        file.write("run\n")
    return len(path.read_text().splitlines())


def kill_worker(path: Path) -> None:
    """Always die."""
    note(path)
    os.kill(os.getpid(), signal.SIGKILL)


def kill_first_worker(path: Path, value: int) -> int:
    """Die at the first run."""
    if note(path) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return value


def double(number: int) -> int:
    """A tiny task."""
    return 2 * number


def double_or_die(number: int, deadly: int, path: Path) -> int:
    """One item is deadly, the first time."""
    if number == deadly and note(path) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number


def sleep_and_tell(seconds: float, path: Path) -> str:
    """Sleep in C, where nothing can stop it, and note that it was not."""
    time.sleep(seconds)
    note(path)
    return "slept"


def buffer_of(array: numpy.ndarray) -> tuple[int, int, float]:
    """Whose memory an array is in, where, and its sum."""
    return os.getpid(), array.__array_interface__["data"][0], float(array.sum())


def doubled_by_pools(n: int) -> list[int]:
    """A task that has pools on its own cluster."""
    with Pool(backend="dask") as pool:
        assert pool.apply(double, (n,)) == 2 * n
    with Pool(backend="dask") as pool:
        return pool.map(double, range(n))


def doubled(number: int) -> int:
    """What a pool's initializer has left, with a number."""
    state = import_module("procession").worker_state()
    return int(state) * number


def seven() -> int:
    """An initializer."""
    return 7
