"""Fixtures for tests about pools.

``any_pool`` runs a test twice, as ``mp`` does: on the standard library's pool and on ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import procession.context
import procession.pool
from tests.pool.gates import Gate, Log


@pytest.fixture
def any_pool(mp: Any) -> Iterator[Any]:
    """A pool of two workers: the standard library's, then ours."""
    with mp.Pool(2) as pool:
        yield pool
    pool.join()


@pytest.fixture
def pool() -> Iterator[procession.pool.Pool]:
    """A pool of ours, of two workers."""
    with procession.pool.Pool(2) as pool:
        yield pool
    pool.join()


@pytest.fixture
def gate() -> Iterator[Gate]:
    """A gate. To be named before the pool in a test's arguments, which is how fixtures are made."""
    gate = Gate()
    yield gate
    gate.close()


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """An empty log."""
    return Log(tmp_path / "log")
