"""What is large, and what is done with it in other processes: importable, so it can be spawned."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Iterator
from typing import Any

import numpy as np

GIB = 1 << 30

MARKS = (0, GIB, 2 * GIB - 1, 2 * GIB, 2 * GIB + 1, 3 * GIB - 1, 4 * GIB - 1, 4 * GIB)
"""Places in it that are not zero: around those where a number of 32 bits ends, too."""


def _marks(size: int) -> Iterator[tuple[int, int]]:
    """Where, and what stands there."""
    for number, place in enumerate(sorted({*MARKS, size - 1}), 1):
        if place < size:
            yield place, 16 * number + 5


def array(size: int) -> Any:
    """An array of so many bytes, nearly all of which were never touched."""
    made = np.zeros(size, "u1")
    for place, mark in _marks(size):
        made[place] = mark
    return made


def octets(size: int) -> bytes:
    """The same as bytes."""
    made = bytes(size)
    for place, mark in _marks(size):
        # Nobody else has it yet; it has no method that would write it without a copy.
        ctypes.memset(id(made) + bytes.__basicsize__ - 1 + place, mark, 1)
    return made


def make(kind: str, size: int) -> Any:
    """One of the two, by its name."""
    return {"array": array, "bytes": octets}[kind](size)


def describe(thing: Any) -> tuple[str, int, bool]:
    """Its type, its length, and whether it is what was sent."""
    view = memoryview(thing)
    size = view.nbytes
    is_marked = all(view[place] == mark for place, mark in _marks(size))
    zeros = np.frombuffer(view, "u1")
    is_marked = is_marked and int(np.count_nonzero(zeros)) == len([*_marks(size)])
    return type(thing).__name__, size, is_marked


def describe_to(connection: Any, thing: Any) -> None:
    """The same, in a process of its own."""
    connection.send(describe(thing))
    connection.close()


def describe_all(source: Any, connection: Any, count: int) -> None:
    """The same for what comes from a queue or a connection."""
    for _ in range(count):
        thing = source.get() if hasattr(source, "get") else source.recv()
        connection.send(describe(thing))
        del thing
    connection.close()


def untouched(size: int) -> Any:
    """An array of so many bytes, which takes no memory: it can not be written."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    return np.frombuffer(mmap.mmap(-1, size, flags, mmap.PROT_READ), "u1")


_given: list[Any] = []


def keep(thing: Any) -> None:
    """As a pool's initializer: for ``describe_kept``."""
    _given.append(thing)


def describe_kept(number: int) -> tuple[str, int, bool]:
    """What was given."""
    return describe(_given[number])
