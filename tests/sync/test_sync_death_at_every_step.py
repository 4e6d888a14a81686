"""A process dies at each step of using a lock: the others go on, and know of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

_PROGRAM = Path(__file__).with_name("dying_with_locks.py")


@pytest.mark.watchdog(180)
@pytest.mark.parametrize("kind", ["Lock", "RLock", "Semaphore"])
def test_others_go_on(failpoint_environment: dict[str, str], kind: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(_PROGRAM), kind],
        env=failpoint_environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    *deaths, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(deaths) >= 4
    assert all(report["died"] for report in deaths)
    assert not last["died"]
    assert last["told"] == 0
    for report in [*deaths, last]:
        assert report["usable"]
        assert report["arena"] is None
        assert report["named"] == report["told"]
        assert (report["recovered"] > 0) == (report["told"] > 0)
    assert any(report["told"] for report in deaths)
