"""The end of a process and of all that descends from it, at once and without leaving anybody over.

Children of ours die with their parent in any case (``lifeline``); what a worker started by
``subprocess`` does not. So the tree is read from /proc: each process is stopped before its
children are read, for one that runs could fork meanwhile. Only when the whole tree stands still
it is killed, from the root on, so that nobody in it sees a child's death and acts on it.

Signals go to pidfds, never to numbers: a number may belong to somebody else by now. A descendant
counts as one only if, after its pidfd was opened, it still was the child of one that we hold.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from typing import Final

PATIENCE: Final = 0.1
"""Seconds to wait, in all, for threads to stand still. They do at once when they get a core, which
on a machine that is overrun may take its time; who still runs after that is killed while it does,
and what it forks in that very moment lives on."""

_PAUSE: Final = 0.0002
_MOVING: Final = frozenset(b"RS")
"""States of a thread that has not come to its stop yet. Those in an uninterruptible sleep (D) do
nothing before it, and wait for a child of theirs at most."""


def slay(pid: int, sentinel: int) -> int:
    """Kill a process and its descendants; nothing happens if it has ended already.

    Does not wait for their end, nor reap anybody.

    Args:
        pid: of a child that may have ended, but whose pidfd is still open.
        sentinel: that pidfd.

    Returns:
        How many were killed.

    Raises:
        PermissionError: the process changed its user. It was not touched.
    """
    try:
        signal.pidfd_send_signal(sentinel, signal.SIGSTOP)
    except ProcessLookupError:
        return 0
    deadline = time.monotonic() + PATIENCE
    tree = [(pid, sentinel)]
    killed = 0
    try:
        for parent, held in tree:  # it grows meanwhile
            tree.extend(_stopped_children(parent, held, deadline))
    finally:
        for member, held in tree:
            killed += _send(held, signal.SIGKILL)
            if member != pid:
                os.close(held)
    return killed


def _stopped_children(parent: int, held: int, deadline: float) -> Iterator[tuple[int, int]]:
    """The children of a process that has been sent its stop; stopped themselves, with pidfds."""
    while _is_moving(parent) and time.monotonic() < deadline:
        time.sleep(_PAUSE)
    for child in _children(parent):
        try:
            pidfd = os.pidfd_open(child)
        except OSError:  # it has ended, or there is no descriptor left
            continue
        # That it is the parent's is true now, if both still exist now: neither can be another one.
        if _parent(child) == parent and _send(held, 0) and _send(pidfd, signal.SIGSTOP):
            yield child, pidfd
        else:
            os.close(pidfd)


def _send(pidfd: int, signum: int) -> bool:
    """Send a signal; whether there was still somebody to get it."""
    try:
        signal.pidfd_send_signal(pidfd, signum)
    except (ProcessLookupError, PermissionError):  # setuid: another user's, not ours to kill
        return False
    return True


def _is_moving(pid: int) -> bool:
    return any(state in _MOVING for state in _states(pid))


def _states(pid: int) -> Iterator[int]:
    for thread in _threads(pid):
        with contextlib.suppress(OSError), open(f"{thread}/stat", "rb") as file:
            yield file.read().rpartition(b") ")[2][0]


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for thread in _threads(pid):
        with contextlib.suppress(OSError), open(f"{thread}/children", "rb") as file:
            found += map(int, file.read().split())
    return found


def _threads(pid: int) -> list[str]:
    folder = f"/proc/{pid}/task"
    try:
        return [f"{folder}/{thread}" for thread in os.listdir(folder)]
    except OSError:
        return []


def _parent(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b") ")[2].split(None, 2)[1])
    except OSError:
        return None
