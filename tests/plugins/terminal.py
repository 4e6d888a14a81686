"""A terminal of its own for a program, and somebody who presses Ctrl-C there."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.plugins.scripts import LIMIT, script_environment

_AS_LEADER = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
mode = termios.tcgetattr(0)
mode[3] &= ~termios.ECHO
termios.tcsetattr(0, termios.TCSANOW, mode)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def run_at_a_terminal(program: Path, presses: Sequence[Sequence[str]]) -> tuple[int, str]:
    """Run a program, to the end of all who hold its terminal; its exit code and output.

    Args:
        presses: of Ctrl-C; for each the lines of output, in any order, that have to come first,
            besides those that had to come before the presses before it.
    """
    ours, its = pty.openpty()
    try:
        running = subprocess.Popen(
            [sys.executable, "-c", _AS_LEADER, str(program)],
            env=script_environment(PYTHON_COLORS="0"),
            stdin=its,
            stdout=its,
            stderr=its,
            start_new_session=True,
        )
        os.close(its)
        output = ""
        made = 0
        while True:
            try:
                output += os.read(ours, 4096).decode()
            except OSError:  # the last one who held the terminal has ended
                break
            needed = Counter(line for lines in presses[: made + 1] for line in lines)
            if made < len(presses) and all(
                output.count(f"{line}\r\n") >= count for line, count in needed.items()
            ):
                made += 1
                os.write(ours, b"\x03")
        return running.wait(LIMIT), output.replace("\r\n", "\n")
    finally:
        os.close(ours)


def tracebacks(output: str) -> int:
    """How many were printed; one that Python chains to another (os.environ.get) is none."""
    return output.count("Traceback") - output.count("During handling of the above exception")
