"""Death at each step with payloads apart: whole or absent, and nothing is left once it is swept.

The steps are the core's fail points; see ``dying_apart``.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.mark.watchdog(180)
@pytest.mark.parametrize(
    ("scenario", "steps", "arrives"),
    [
        ("answer", 40, {0, 1, 2}),
        ("run", 100, set(range(9))),
        ("receive", 55, {0}),
        ("put", 45, {0, 1, 2, 3}),
        ("put_many", 45, {0, 1, 2, 3}),
        ("get", 18, {3, 2}),
        ("get_many", 30, {3, 1}),
    ],
)
def test_nothing_is_left(
    failpoint_environment: dict[str, str], scenario: str, steps: int, arrives: set[int]
) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.worker.dying_apart", scenario],
        cwd=ROOT,
        env=failpoint_environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    for report in reports:
        assert (report["blocks"], report["objects"], report["wrong"]) == (0, 0, None), report
    *deaths, last = reports
    assert all(report["died"] for report in deaths)
    assert not last["died"]
    assert len(deaths) >= steps  # a path without fail points proves nothing
    assert {report["arrived"] for report in reports} == arrives
