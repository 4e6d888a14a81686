"""Fixtures for the tests about lifetimes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lifetimes.stages import Stage
from tests.plugins.scripts import LIMIT, script_environment

ROOT = Path(__file__).parents[2]
StartProgram = Callable[..., "subprocess.Popen[bytes]"]
Pidfd = Callable[[int], int]


@pytest.fixture
def make_stage(tmp_path: Path) -> Iterator[Callable[[], Stage]]:
    """Makes stages."""
    made: list[Stage] = []

    def make() -> Stage:
        made.append(Stage(tmp_path / f"stage{len(made)}"))
        return made[-1]

    yield make
    for stage in made:
        stage.close()


@pytest.fixture
def stage(make_stage: Callable[[], Stage]) -> Stage:
    """A stage."""
    return make_stage()


@pytest.fixture
def start_program(tmp_path: Path) -> Iterator[StartProgram]:
    """Starts a text (or a module: "-m NAME") as a program; it ends with the test at the latest."""
    running: list[subprocess.Popen[bytes]] = []

    def start(text: str, *args: object, **options: Any) -> subprocess.Popen[bytes]:
        if text.startswith("-m "):
            program = text.split()
        else:
            path = tmp_path / f"program{len(running)}.py"
            path.write_text(text)
            program = [str(path)]
        environment = script_environment()
        environment["PYTHONPATH"] += os.pathsep + str(ROOT)
        command = [sys.executable, *program, *map(str, args)]
        running.append(subprocess.Popen(command, env=environment, **options))
        return running[-1]

    yield start
    for program in running:
        program.kill()
        program.wait(LIMIT)
        for pipe in (program.stdin, program.stdout, program.stderr):
            if pipe is not None:
                pipe.close()


@pytest.fixture
def pidfd() -> Iterator[Pidfd]:
    """Opens descriptors of processes, which are closed (and the processes killed) in the end."""
    opened: list[int] = []

    def open_it(pid: int) -> int:
        opened.append(os.pidfd_open(pid))
        return opened[-1]

    yield open_it
    for fd in opened:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(fd, signal.SIGKILL)
        os.close(fd)
