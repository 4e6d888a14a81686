"""A hang is a failure with evidence.

A watcher process of its own (``watcher``) is told when a test begins and how long it may take. If
it takes longer, the watcher prints the stacks of pytest and of all its descendants, and kills them.
It is no thread, because a thread here would change what is tested (Python warns of forks in a
process with threads), and would be stuck itself when C code hangs with the GIL held.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

LIMIT = 60.0
"""Seconds for one test with its fixtures, and for the interpreter to end after the last one."""

COLLECTION_LIMIT = 180.0

DUMP_SIGNAL = signal.SIGRTMAX - 1
"""Makes pytest, and what it forks, print its Python stacks, wherever it hangs."""

_ROOT = Path(__file__).parents[2]


class Watchdog:
    """Our end of the watcher."""

    def __init__(self) -> None:
        # Output is not captured yet: this is the real standard error, also later on.
        self._stderr = os.dup(2)
        faulthandler.register(DUMP_SIGNAL, file=self._stderr)
        inbox, self._orders = os.pipe()
        try:
            # Returns at once: the watcher detaches itself, so as to be nobody's child in a test.
            watcher = [sys.executable, "-S", "-m", "tests.plugins.watcher"]
            subprocess.run(
                [*watcher, str(os.getpid()), str(int(DUMP_SIGNAL))],
                cwd=_ROOT,
                env={**os.environ, "PYTHONPATH": str(_ROOT)},
                stdin=inbox,
                stdout=self._stderr,
                stderr=self._stderr,
                check=True,
            )
        finally:
            os.close(inbox)

    def expect(self, what: str, seconds: float) -> None:
        """From now on `what` is happening, and should end within `seconds`."""
        order = json.dumps({"what": what[:500], "seconds": seconds})
        os.write(self._orders, order.encode() + b"\n")


RUNNING = pytest.StashKey[Watchdog]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", f"watchdog(seconds): how long this test may run, instead of {LIMIT:.0f} seconds"
    )
    debugging = config.getoption("usepdb", False) or config.getoption("trace", False)
    if not debugging:
        config.stash[RUNNING] = Watchdog()
        config.stash[RUNNING].expect("the collection of the tests", COLLECTION_LIMIT)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, object, object]:
    watchdog = item.config.stash.get(RUNNING, None)
    if watchdog is not None:
        marker = item.get_closest_marker("watchdog")
        watchdog.expect(item.nodeid, marker.args[0] if marker else LIMIT)
    return (yield)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    watchdog = session.config.stash.get(RUNNING, None)
    if watchdog is not None:
        watchdog.expect("the report on the tests", LIMIT)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    watchdog = config.stash.get(RUNNING, None)
    if watchdog is not None:
        watchdog.expect("the end of the interpreter", LIMIT)
