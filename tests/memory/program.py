"""All roads, as a program: what each carries arrives whole, and nothing is put in /dev/shm.

    python program.py METHOD SIZE [DAMPER]

Arrays of SIZE bytes go through Pool, Executor, Queue, Pipe and Process arguments, and are shared.
Each step that went well is printed on a line of its own, the last is "done".
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

import procession

SHM = "/dev/shm"
IN_CREATE, IN_MOVED_TO = 0x100, 0x80
FLOAT = 8


class Watch:
    """Whatever is put in /dev/shm, were it for a moment only."""

    def __init__(self) -> None:
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.fd = -1
        self.free = -1
        if os.path.isdir(SHM):
            self.fd = self.libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
            found = self.libc.inotify_add_watch(self.fd, SHM.encode(), IN_CREATE | IN_MOVED_TO)
            assert found > 0, os.strerror(ctypes.get_errno())
            self.free = os.statvfs(SHM).f_bfree

    def close(self) -> None:
        """Look no more."""
        if self.fd >= 0:
            os.close(self.fd)

    def check(self) -> None:
        """Raise AssertionError if something was put there."""
        if self.fd < 0:
            assert not os.path.isdir(SHM)
            return
        try:
            events = os.read(self.fd, 1 << 16)
        except BlockingIOError:
            events = b""
        names = []
        while events:
            (length,) = struct.unpack_from("I", events, 12)
            names.append(events[16 : 16 + length].rstrip(b"\0").decode())
            events = events[16 + length :]
        assert not names, f"put into {SHM}: {names}"
        free = os.statvfs(SHM).f_bfree
        assert free >= self.free, f"{self.free - free} blocks of {SHM} are in use"  # without a name


def made(value: int, size: int) -> Any:
    return np.full(size // FLOAT, float(value))


def doubled(array: Any) -> Any:
    return array * 2


def total(array: Any) -> float:
    return float(array.sum())


def answer(source: Any, target: Any) -> None:
    while (array := source()) is not None:
        target(array * 2)


def tell_total(array: Any, pipe: Any) -> None:
    pipe.send(total(array))
    pipe.close()


def check(array: Any, value: int, size: int) -> None:
    assert array.shape == (size // FLOAT,), array.shape
    assert (array == value).all()


def pool(mp: Any, size: int) -> None:
    with mp.Pool(2) as workers:
        for value, array in enumerate(workers.map(doubled, [made(v, size) for v in range(6)])):
            check(array, 2 * value, size)
        check(workers.apply(doubled, (made(7, size),)), 14, size)
        for value, array in enumerate(workers.imap(doubled, (made(v, size) for v in range(6)))):
            check(array, 2 * value, size)
    workers.join()


def executor(mp: Any, size: int) -> None:
    with procession.Executor(2, mp_context=mp) as workers:
        for value, array in enumerate(workers.map(doubled, [made(v, size) for v in range(6)])):
            check(array, 2 * value, size)


def queue(mp: Any, size: int) -> None:
    there, back = mp.Queue(), mp.Queue()
    child = mp.Process(target=answer, args=(there.get, back.put))
    child.start()
    for value in range(4):
        there.put(made(value, size))
        check(back.get(), 2 * value, size)
    there.put(None)
    child.join()
    assert child.exitcode == 0


def pipe(mp: Any, size: int) -> None:
    ours, its = mp.Pipe()
    child = mp.Process(target=answer, args=(its.recv, its.send))
    child.start()
    for value in range(4):
        ours.send(made(value, size))
        check(ours.recv(), 2 * value, size)
    ours.send(None)
    child.join()
    assert child.exitcode == 0


def argument(mp: Any, size: int) -> None:
    reader, writer = mp.Pipe(duplex=False)
    child = mp.Process(target=tell_total, args=(made(3, size), writer))
    child.start()
    assert reader.recv() == 3 * (size // FLOAT)
    child.join()
    assert child.exitcode == 0


def shared(mp: Any, size: int) -> None:
    array = procession.share(made(5, size))
    with mp.Pool(2) as workers:
        assert workers.map(total, [array] * 8) == [5.0 * (size // FLOAT)] * 8
    workers.join()


ROADS: list[Callable[[Any, int], None]] = [pool, executor, queue, pipe, argument]
if hasattr(procession, "share"):
    ROADS.append(shared)


def main(method: str, size: int) -> None:
    watch = Watch()
    mp = procession.get_context(method)
    for road in ROADS:
        road(mp, size)
        watch.check()
        print(road.__name__, flush=True)
    print("done", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
