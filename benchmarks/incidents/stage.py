"""What the workers are given to do, and how the parent sees them do it: through named pipes.

Any rival's worker can open a path, however it was started; so a process that announces itself needs
nothing of what is measured.
"""

from __future__ import annotations

import os
import select
import struct
import time
from pathlib import Path
from time import perf_counter

from benchmarks.incidents.contract import Overdue

PATIENCE = 15.0
"""Seconds after which nobody waits any longer."""

_FORM = struct.Struct("=qd")


def announce(path: str) -> None:
    """Tell who runs here, and since when; the clock is the same in all processes."""
    now = perf_counter()
    descriptor = os.open(path, os.O_WRONLY)
    os.write(descriptor, _FORM.pack(os.getpid(), now))
    os.close(descriptor)


def stay(path: str) -> None:
    """A task that does not end."""
    announce(path)
    while True:
        time.sleep(3600)


def meet(path: str, releases: str) -> None:
    """A task that ends when it is released: so that each worker gets one."""
    announce(path)
    descriptor = os.open(releases, os.O_RDONLY)
    os.read(descriptor, 1)
    os.close(descriptor)


class Stage:
    """Two named pipes: who has begun, and who may end.

    Args:
        directory: a new one, for these.
    """

    def __init__(self, directory: Path) -> None:
        self.path, self.releases = (str(directory / name) for name in ("begun", "released"))
        os.mkfifo(self.path)
        os.mkfifo(self.releases)
        # Both ends are held, so no opening of either waits.
        self._begun = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        self._released = os.open(self.releases, os.O_RDWR | os.O_CLOEXEC)

    def next(self, patience: float = PATIENCE) -> tuple[int, float]:
        """The next that has begun: the process and the time.

        Raises:
            Overdue: nobody has.
        """
        if not is_readable(self._begun, patience):
            raise Overdue(f"no task began within {patience:g} s")
        pid, when = _FORM.unpack(os.read(self._begun, _FORM.size))
        return pid, when

    def release(self, number: int) -> None:
        """Let so many tasks end."""
        os.write(self._released, b"x" * number)

    def close(self) -> None:
        """Give the pipes back."""
        os.close(self._begun)
        os.close(self._released)


def is_readable(descriptor: int, timeout: float) -> bool:
    """Whether it becomes readable in so many seconds: a pipe with a message, an ended pidfd."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(1000 * timeout))
