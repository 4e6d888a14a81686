"""For all tests: the plugins, and what a process makes once."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).parents[1]

pytest_plugins = [
    "pytester",
    "tests.plugins.clusters",
    "tests.plugins.lanes",
    "tests.plugins.leaks",
    "tests.plugins.scripts",
    "tests.plugins.starting",
    "tests.plugins.watchdog",
]

# A job that was started in the background has it ignored, and so would all our programs.
signal.signal(signal.SIGINT, signal.default_int_handler)

# What would have our programs print, warn or import in other ways here than elsewhere.
for _name in set(os.environ) - {"PYTHONHOME", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE"}:
    if _name.startswith("PYTHON"):
        del os.environ[_name]

# The same examples in every run; `explore` looks for new ones.
hypothesis.settings.register_profile(
    "fixed", derandomize=True, database=None, deadline=None, print_blob=True
)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=2000)
hypothesis.settings.load_profile(os.environ.get("PROCESSION_EXAMPLES", "fixed"))


@pytest.fixture(autouse=True, scope="session")
def _kept_for_good() -> None:
    """Make what a process makes once and keeps (arena, lifeline), lest the first test is blamed."""
    with contextlib.suppress(ImportError):
        from procession.process import Process

        process = Process(target=int)
        process.start()
        process.join()
        process.close()
    with contextlib.suppress(ImportError):
        from procession.pool import Pool

        with Pool(1) as pool:
            pool.apply(int)
        pool.join()


@pytest.fixture(scope="session")
def failpoint_environment() -> dict[str, str]:
    """The environment for child interpreters whose package has the fail points compiled in."""
    builder = ROOT / "tools/build_failpoints.py"
    done = subprocess.run([sys.executable, builder], stdout=subprocess.PIPE, text=True, check=True)
    return {**os.environ, "PYTHONPATH": done.stdout.strip()}


@pytest.fixture
def keeps_handlers() -> Iterator[None]:
    """Puts back the handler of SIGALRM, and stops its timer."""
    before = signal.getsignal(signal.SIGALRM)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
