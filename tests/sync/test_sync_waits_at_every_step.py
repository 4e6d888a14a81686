"""A process dies at each step of using an event, a condition or a barrier: the others go on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

_PROGRAM = Path(__file__).with_name("dying_with_waits.py")


@pytest.mark.watchdog(180)
@pytest.mark.parametrize(("kind", "points"), [("Event", 3), ("Condition", 10), ("Barrier", 8)])
def test_others_go_on(failpoint_environment: dict[str, str], kind: str, points: int) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(_PROGRAM), kind],
        env=failpoint_environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    *deaths, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(deaths) >= points
    assert all(report["died"] for report in deaths)
    assert not last["died"]
    for report in [*deaths, last]:
        assert (report["other"], report["arena"]) == (0, None)
