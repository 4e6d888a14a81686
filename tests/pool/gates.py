"""What tests and the tasks in their workers tell each other."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any


class Gate:
    """A place where tasks wait until the test lets them go on.

    To be made before the pool, whose workers inherit the descriptors. It travels as their numbers.
    """

    def __init__(self) -> None:
        self._read, self._write = os.pipe()

    def open(self, tasks: int = 1) -> None:
        """Let so many tasks through."""
        os.write(self._write, b"x" * tasks)

    def pass_through(self) -> None:
        """Wait until let through."""
        assert os.read(self._read, 1) == b"x"

    def close(self) -> None:
        """Give the descriptors back."""
        os.close(self._read)
        os.close(self._write)


class Log:
    """A file to which all processes append lines."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def write(self, line: object) -> None:
        """Append a line, in one piece."""
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(fd, f"{line}\n".encode())
        finally:
            os.close(fd)

    def lines(self) -> list[str]:
        """What was written, in order."""
        return self.path.read_text().splitlines()


def error_of(result: Any) -> Any:
    """What get() of this result raises."""
    try:
        value = result.get()
    except BaseException as error:
        return error
    raise AssertionError(f"got {value!r} instead of an error")


def children() -> set[int]:
    """The pids of this process's children."""
    found: set[int] = set()
    for task in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError):  # the thread has ended
            pids = Path(f"/proc/self/task/{task}/children").read_text()
            found.update(map(int, pids.split()))
    return found
