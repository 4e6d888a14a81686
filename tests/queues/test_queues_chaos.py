"""Producers and consumers are killed at random: nothing is lost, doubled, or stuck."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from tests.queues.crowd import Crowd


def _run(folder: Path, seed: int, maxsize: int, seconds: float) -> Crowd:
    crowd = Crowd(folder, seed, maxsize)
    end = time.monotonic() + seconds
    pause = threading.Event()
    while time.monotonic() < end or crowd.killed < 20:
        pause.wait(0.01)
        crowd.kill_one()
    crowd.settle()
    return crowd


@pytest.mark.parametrize("maxsize", [0, 3])
def test_all_of_it_adds_up(tmp_path: Path, maxsize: int) -> None:
    crowd = _run(tmp_path, 1, maxsize, 1.0)
    assert len(crowd.taken) > 100


@pytest.mark.chaos
@pytest.mark.watchdog(1200)
@pytest.mark.parametrize("seed", range(2, 6))
@pytest.mark.parametrize("maxsize", [0, 1, 100])
def test_and_for_long(tmp_path: Path, seed: int, maxsize: int) -> None:
    seconds = {"short": 3.0, "long": 60.0}[os.environ.get("PROCESSION_CHAOS", "short")]
    _run(tmp_path, seed, maxsize, seconds)
