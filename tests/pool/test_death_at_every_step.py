"""A worker dies at each step of serving a task: each task has one outcome, and runs at most once.

The steps are the core's fail points; see ``dying_at_failpoints``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

_PROGRAM = Path(__file__).with_name("dying_at_failpoints.py")
_TASKS = 6


def _run(
    environment: dict[str, str], folder: Path, workers: int, kind: str, at_least: int
) -> list[Any]:
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            str(_PROGRAM),
            str(folder),
            str(workers),
            kind,
            str(at_least),
        ],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def _check(report: dict[str, Any], lost: int) -> None:
    """`lost`: how many tasks one death may cost."""
    outcomes, runs = report["outcomes"], Counter(map(int, report["runs"]))
    assert len(outcomes) == _TASKS
    assert set(outcomes) <= {"done", "died"}
    assert outcomes.count("died") <= lost
    assert set(runs.values()) == {1}  # none is run twice
    done = {index for index, outcome in enumerate(outcomes) if outcome == "done"}
    assert done <= set(runs)
    assert (report["channel"], report["arena"]) == (None, None)


@pytest.mark.watchdog(180)
@pytest.mark.parametrize(("kind", "lost"), [("apply", 1), ("imap", 1), ("chunks", 1)])
def test_the_only_worker_dies(
    failpoint_environment: dict[str, str], tmp_path: Path, kind: str, lost: int
) -> None:
    reports = _run(failpoint_environment, tmp_path, 1, kind, 1)
    for report in reports:
        _check(report, lost)
    *deaths, last = reports
    assert last["outcomes"] == ["done"] * _TASKS
    assert last["blocks"] == reports[0]["blocks"]  # what the dead held was given back
    # A task's way through a worker has several steps: a run that met none proves nothing.
    assert len(deaths) >= 20
    assert any("died" in report["outcomes"] for report in deaths)
    assert any("died" not in report["outcomes"] for report in deaths)


@pytest.mark.watchdog(180)
@pytest.mark.parametrize("kind", ["apply", "imap"])
def test_one_of_two_workers_dies(
    failpoint_environment: dict[str, str], tmp_path: Path, kind: str
) -> None:
    reports = _run(failpoint_environment, tmp_path, 2, kind, 40)
    for report in reports:
        _check(report, 1)
    assert sum(report["died"] for report in reports) >= 3
    assert reports[-1]["blocks"] <= reports[0]["blocks"]
