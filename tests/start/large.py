"""What runs in the children that are given much: by its name, so that plain pickle finds it."""

from __future__ import annotations

import os
import signal
from typing import Any

import numpy as np

from procession import _core

given: list[Any] = []


def change(conn: Any, things: dict[str, Any]) -> None:
    """Say what came, and whether it may be written; write it."""
    array, octets, room = things["array"], things["bytes"], things["bytearray"]
    conn.send((int(array.sum()), octets[:4] + octets[-4:], room[:4] + room[-4:]))
    array += 1
    room[:4] = b"mine"
    conn.send((int(array.sum()), bytes(room[:4]), array.flags.owndata))
    conn.close()


def hold_until_told(conn: Any, things: list[Any]) -> None:
    """Have it until told to drop it; then stay until told to leave."""
    conn.send(len(things[0]))
    conn.recv()
    things.clear()
    conn.send("dropped")
    conn.recv()


def where(things: Any) -> list[tuple[int, ...]]:
    """In which shared memory each of some arrays lies, how far behind its begin."""
    found = [_core.Memory.at(memoryview(thing)) for thing in things]
    return [(*memory._name()[:2], offset) for memory, offset in found]  # type: ignore[misc]


def say_where(conn: Any, *things: Any) -> None:
    """The same, and what the first of them sums up to."""
    conn.send((where(things), int(np.asarray(things[0]).sum())))
    conn.close()


def remember(*things: Any) -> None:
    """As a pool's initializer."""
    given[:] = things


def recall(_: object = None) -> tuple[int, bool, int]:
    """The sum of what it was given, whether that may be written, and who says so."""
    return int(given[0].sum()), given[0].flags.writeable, os.getpid()


def recall_where(_: object = None) -> list[tuple[int, ...]]:
    """Where that lies."""
    return where(given)


class Deadly:
    """Kills who unpickles it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return kill_me, ()


def kill_me() -> None:
    """As if from outside."""
    os.kill(os.getpid(), signal.SIGKILL)
