"""Keeps account of what a program used of multiprocessing, and whose it was.

The account is kept in a file in memory, to which forked children write as well. It is printed at
the very end of the main process: however it ends, but for a signal that kills it or ``os._exit``.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import textwrap
from types import FrameType

from procession._launch import exits

_LAST = -(2**31)  # after everything else that is to happen at exit

_BETWEEN = ("importlib", "concurrent.futures", "procession._cli", "procession.context")


class Account:
    """What was used, by every process that this one forks."""

    def __init__(self) -> None:
        self._fd = os.memfd_create("procession-explain")
        # So that a whole line is added at once, whoever else is writing.
        fcntl.fcntl(self._fd, fcntl.F_SETFL, os.O_APPEND | os.O_RDWR)
        self._file = os.fstat(self._fd).st_ino
        self._noted: set[str] = set()

    def note(self, name: str, *, ours: bool, caller: FrameType | None) -> bool:
        """Note that the code in the frame `caller` used `name`; False if it was not the program.

        What Python itself imports or asks for in the course of things is of no interest.
        """
        if not _is_program(caller):
            return False
        line = f"{'+' if ours else '-'}{name}\n"
        if line not in self._noted:
            self._noted.add(line)
            # A program may close descriptors it does not know; the number may be another file's.
            with contextlib.suppress(OSError):
                if os.fstat(self._fd).st_ino == self._file:
                    os.write(self._fd, line.encode())
        return True

    def names(self, *, ours: bool) -> list[str]:
        """All names noted so far, sorted."""
        lines = set(self._noted)
        with contextlib.suppress(OSError):
            if os.fstat(self._fd).st_ino == self._file:
                size = os.fstat(self._fd).st_size
                lines.update(os.pread(self._fd, size, 0).decode().splitlines(keepends=True))
        sign = "+" if ours else "-"
        return sorted(line[1:].strip() for line in lines if line.startswith(sign))

    def report(self) -> str:
        """The account, for a person."""
        ours, theirs = self.names(ours=True), self.names(ours=False)
        if not ours and not theirs:
            return "procession: the program used nothing of multiprocessing.\n"
        return "\n".join(
            [
                "procession: what the program used of multiprocessing",
                _list("from procession:", ours),
                _list("from the standard library:", theirs),
                "",
            ]
        )

    def report_at_exit(self) -> None:
        """Print the account to standard error when this process ends."""
        exits.register_exit(self._print, priority=_LAST)

    def _print(self) -> None:
        # What the program printed comes first, also where both streams end in one file.
        with contextlib.suppress(AttributeError, ValueError, OSError):
            sys.stdout.flush()
        with contextlib.suppress(AttributeError, ValueError, OSError):
            sys.stderr.write(self.report())
            sys.stderr.flush()


def _list(title: str, names: list[str]) -> str:
    return textwrap.fill(
        ", ".join(names) or "nothing",
        width=98,
        initial_indent=f"  {title:28}",
        subsequent_indent=" " * 30,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _is_program(frame: FrameType | None) -> bool:
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if not name.startswith(_BETWEEN):
            top = name.partition(".")[0]
            return name == "__main__" or not (top in sys.stdlib_module_names or top == "procession")
        frame = frame.f_back
    return False
