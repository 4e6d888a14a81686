"""Fixtures for tests about pools.

``any_pool`` runs a test twice, on the standard library's pool and on ours: what the two must have
in common is written once, and a test that the standard library fails is a mistaken test.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import procession.context
import procession.pool
from tests.pool.gates import LIMIT, Gate, Log

_SOURCES = Path(procession.pool.__file__).parents[1]

RunScript = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(params=["stdlib", "procession"])
def mp(request: pytest.FixtureRequest) -> Any:
    """A fork context: the standard library's, then ours."""
    if request.param == "stdlib":
        return multiprocessing.get_context("fork")
    return procession.context.get_context("fork")


@pytest.fixture
def any_pool(mp: Any) -> Iterator[Any]:
    """A pool of two workers: the standard library's, then ours."""
    with mp.Pool(2) as pool:
        yield pool
    pool.join()


@pytest.fixture
def pool() -> Iterator[procession.pool.Pool]:
    """A pool of ours, of two workers."""
    with procession.pool.Pool(2) as pool:
        yield pool
    pool.join()


@pytest.fixture
def gate() -> Iterator[Gate]:
    """A gate. To be named before the pool in a test's arguments, which is how fixtures are made."""
    gate = Gate()
    yield gate
    gate.close()


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """An empty log."""
    return Log(tmp_path / "log")


@pytest.fixture
def keeps_handlers() -> Iterator[None]:
    """Puts back the handler of SIGALRM, and stops its timer."""
    before = signal.getsignal(signal.SIGALRM)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def script_environment(**more: str) -> dict[str, str]:
    """The environment in which a script finds the package under test."""
    path = os.pathsep.join([str(_SOURCES), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, **more}


@pytest.fixture
def run_script(tmp_path: Path) -> RunScript:
    """Run a text as a program; returns its exit code and whole output.

    That run() returns also shows that no process is left that holds the output pipes.
    """

    def run(text: str, *args: str, options: tuple[str, ...] = (), **environment: str) -> Any:
        path = tmp_path / "program.py"
        path.write_text(text)
        return subprocess.run(
            [sys.executable, *options, str(path), *args],
            env=script_environment(**environment),
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )

    return run
