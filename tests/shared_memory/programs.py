"""Programs with which a test has a conversation, a line at a time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.plugins.scripts import LIMIT, script_environment

SEGMENTS = Path("/dev/shm")

CREATES = """
import sys
from procession.shared_memory import SharedMemory
block = SharedMemory(create=True, size=10)
print(block.name, flush=True)
sys.stdin.readline()
"""
"""Tells the name of its block, which it does not unlink, and waits for a line."""

SWEEPS = """
from procession.shared_memory import SharedMemory
block = SharedMemory(create=True, size=1)
block.unlink()
"""
"""Uses a block of its own: the next start."""


class Program:
    """A program that runs."""

    def __init__(self, text: str, *args: str, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", text, *args],
            env=script_environment(**environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def hear(self) -> str:
        """The next line that it prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        """Kill it, with SIGKILL."""
        self.process.kill()
        self.process.wait(LIMIT)

    def say(self, line: str = "") -> None:
        """Send it a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def end(self) -> tuple[int, str]:
        """Send it the end of its input, and wait for its own; exit code, and what it reports."""
        _, errors = self.process.communicate(timeout=LIMIT)
        return self.process.returncode, errors

    def close(self) -> None:
        """Kill it if it runs, and close the pipes."""
        self.kill()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None and not pipe.closed:
                pipe.close()


def exists(name: str) -> bool:
    """Whether there is a block with this name."""
    return (SEGMENTS / name).exists()


def unlink(name: str) -> None:
    """Remove one that nobody looks after."""
    (SEGMENTS / name).unlink()
