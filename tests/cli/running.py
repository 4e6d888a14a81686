"""Runs programs: through plain python, and through ``procession run``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import procession

PROGRAMS = Path(__file__).parent / "programs"

LIMIT = 50.0
"""Seconds after which a program counts as hung; none takes so long by far."""

_SOURCES = Path(procession.__file__).parents[1]

Ended = subprocess.CompletedProcess[str]


def run(command: list[str], *, folder: Path = PROGRAMS, stdin: str = "") -> Ended:
    """Run a command to its end, with the package under test to be found.

    That it returns also shows that no process is left that holds the output pipes.
    """
    path = os.pathsep.join([str(_SOURCES), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path}
    # With it, the stdlib's processes print texts and newlines in any order.
    environment.pop("PYTHONUNBUFFERED", None)
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


def plain(*arguments: str, folder: Path = PROGRAMS, stdin: str = "") -> Ended:
    """Run a program through plain python."""
    return run([sys.executable, *arguments], folder=folder, stdin=stdin)


def through_run(*arguments: str, folder: Path = PROGRAMS, stdin: str = "") -> Ended:
    """Run a program through ``procession run``."""
    command = [sys.executable, "-m", "procession", "run", *arguments]
    return run(command, folder=folder, stdin=stdin)


def same(*arguments: str, folder: Path = PROGRAMS, stdin: str = "") -> Ended:
    """Run a program in both ways; exit code and output must be equal. Returns the latter run."""
    expected = plain(*arguments, folder=folder, stdin=stdin)
    got = through_run(*arguments, folder=folder, stdin=stdin)
    assert got.stderr == expected.stderr
    assert got.stdout == expected.stdout
    assert got.returncode == expected.returncode
    return got
