"""Fixtures for the regression tests of what went wrong in the field."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.field.doors import DOORS, Door
from tests.pool.gates import Log


@pytest.fixture(params=list(DOORS))
def door(request: pytest.FixtureRequest) -> type[Door]:
    """A pool, then an executor."""
    return DOORS[request.param]


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """An empty log."""
    return Log(tmp_path / "log")


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt, as in a program."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
