"""What a process has once it has joined, and a budget of a test's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from procession import _core
from procession._core import Memory

MIB = 1 << 20
BUDGET = 64 * MIB


@pytest.fixture(autouse=True, scope="session")
def _joined_for_good() -> None:
    """The arena, which is made at its first need and kept: lest the first test is blamed."""
    Memory(1)


@pytest.fixture
def budget() -> Iterator[int]:
    """Bytes that the family may have during this test."""
    before = _core.memory_budget()
    yield _core.memory_budget(BUDGET)
    _core.memory_budget(before)
