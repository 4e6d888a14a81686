"""The output of ``procession map``: lines, to standard output or to a file that is moved in place.

A file is written beside its place, under its name with ``.part``, and gets its name when it is
complete: whatever ends a run, the file is what it was before, or has every item once.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import sys

MOST_KEPT = 1 << 16
"""Characters that are kept back while more results are due at once."""


class Output:
    """Where lines go.

    Args:
        path: a file; None for standard output.

    Raises:
        OSError: the file can not be written, or another run is writing it.
    """

    def __init__(self, path: str | None) -> None:
        self._final: str | None = None
        self._lines: list[str] = []
        self._kept = 0
        if path is None:
            self.place = "standard output"
            self._file = _take_standard_output()
            return
        self.place = path
        if _names_what_is_open(path) or _is_there_and_no_file(path):
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            return
        self._final = os.path.realpath(path)  # a link stays one
        self.place = f"{self._final}.part"
        self._file = _open_alone(self.place)
        with contextlib.suppress(FileNotFoundError):
            os.fchmod(self._file, stat.S_IMODE(os.stat(self._final).st_mode))

    @property
    def is_full(self) -> bool:
        """Whether it is time to write."""
        return self._kept >= MOST_KEPT

    def add(self, line: str) -> None:
        """One more line; written by the next ``flush``."""
        self._lines.append(line)
        self._kept += len(line)

    def flush(self) -> None:
        """Write all lines there are.

        Raises:
            OSError: BrokenPipeError for one.
        """
        if not self._lines:
            return
        lines, self._lines, self._kept = self._lines, [], 0
        left = memoryview(("\n".join(lines) + "\n").encode())
        try:
            while left:
                left = left[os.write(self._file, left) :]
        except OSError as error:
            error.filename = error.filename or self.place
            raise

    def finish(self) -> None:
        """All is written: let the file have its name."""
        self.flush()
        if self._final is None:
            return
        os.fsync(self._file)
        os.replace(self.place, self._final)
        self.place, self._final = self._final, None
        folder = os.open(os.path.dirname(os.path.abspath(self.place)), os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def close(self) -> None:
        """Close the file."""
        if self._final is None and self.place == "standard output":
            sys.stdout.flush()
            os.dup2(self._file, 1)
        os.close(self._file)


def _take_standard_output() -> int:
    """Have it for results alone: what functions print goes to standard error meanwhile."""
    if sys.stdout is None:  # it was closed when Python began; 1 may be anything by now
        raise OSError(errno.EBADF, os.strerror(errno.EBADF), "standard output")
    sys.stdout.flush()
    file = os.dup(1)
    if sys.stderr is not None:
        os.dup2(2, 1)
        return file
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return file


def _open_alone(path: str) -> int:
    """Open a file to be written anew, which no other run is writing."""
    while True:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # forked workers do not inherit it
            if _is_at(file, path):  # else the run that wrote it has just moved it in place
                os.ftruncate(file, 0)
                return file
        except BlockingIOError as error:
            os.close(file)
            error.filename, error.strerror = path, "another run is writing it"
            raise
        except BaseException:
            os.close(file)
            raise
        os.close(file)


def _is_at(file: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False


def _names_what_is_open(path: str) -> bool:
    """Whether it is another name of an open file, as /dev/stdout is: nothing to be replaced."""
    return os.path.abspath(path).startswith(("/dev/", "/proc/"))


def _is_there_and_no_file(path: str) -> bool:
    """A pipe, a terminal."""
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        return False
