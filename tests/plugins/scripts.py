"""Fixtures for tests that run whole programs, and for those that run on the standard library, too.

``mp`` runs a test twice, on the standard library's fork context and on ours: what the two must
have in common is written once, and a test that the standard library fails is a mistaken test.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

LIMIT = 60.0
"""Seconds after which a wait that should end counts as a hang."""

RunScript = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(params=["stdlib", "procession"])
def mp(request: pytest.FixtureRequest) -> Any:
    """A fork context: the standard library's, then ours."""
    if request.param == "stdlib":
        return multiprocessing.get_context("fork")
    import procession  # not before the tests: plugins are loaded in every run of pytest

    return procession.get_context("fork")


def script_environment(**more: str) -> dict[str, str]:
    """The environment in which a script finds the package under test."""
    import procession

    sources = str(Path(procession.__file__).parents[1])
    path = os.pathsep.join([sources, *filter(None, [os.environ.get("PYTHONPATH")])])
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
