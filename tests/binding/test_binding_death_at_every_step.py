"""A process dies at each step of using memory: nothing of it is left, and ours is whole."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

_PROGRAM = Path(__file__).with_name("dying_with_memory.py")


@pytest.mark.watchdog(180)
def test_nothing_is_left(failpoint_environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(_PROGRAM)],
        env=failpoint_environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    *deaths, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(deaths) >= 20
    assert all(report["died"] for report in deaths)
    assert not last["died"]
    for report in [*deaths, last]:
        assert report["blocks"] == 0
        assert report["arena"] is None
        assert report["ours"]
        assert report["usable"]
