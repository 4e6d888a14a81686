"""Programs that a test starts by their own commands, each with a process group of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[2]

BIN = Path(sys.executable).parent
"""Where the commands of what is installed beside this interpreter are."""


kept: set[int] = set()
"""Commands that run as long as the session. What they start and end is no test's affair."""


class Command:
    """A running program, and what it has printed."""

    def __init__(
        self, *arguments: str | Path, env: Mapping[str, str] | None = None, **options: Any
    ) -> None:
        """Start it. It finds this tree on its path, as tests' functions are sent by name."""
        self._output: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._is_gone = False
        self.process = subprocess.Popen(
            [str(argument) for argument in arguments],
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **(env or {})},
            start_new_session=True,
            **options,
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def output(self) -> str:
        """All that it has printed until now."""
        self._output.seek(0)
        return self._output.read()

    def kill(self) -> None:
        """Kill it, and all that it has started: a machine that is gone.

        The standard library's semaphores outlive that; with a machine they would be gone, too.
        """
        if self._is_gone:
            return
        self._is_gone = True
        semaphores = {name for pid in self._group() for name in _semaphores(pid)}
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()
        for name in semaphores:
            Path(name).unlink(missing_ok=True)

    def _group(self) -> Iterator[int]:
        for pid in (int(entry) for entry in os.listdir("/proc") if entry.isdigit()):
            with contextlib.suppress(ProcessLookupError):
                if os.getpgid(pid) == self.pid:
                    yield pid

    def end(self, patience: float = 10.0) -> None:
        """Have it end by itself, and kill what does not."""
        if not self._is_gone:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(patience)
            self.kill()
        self._output.close()


def _semaphores(pid: int) -> Iterator[str]:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            name = line.rpartition(" ")[2]
            if name.startswith("/dev/shm/sem."):
                yield name


def free_port(host: str) -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
