"""What a task raises comes back as itself, with the lines it was raised in."""

from __future__ import annotations

from typing import Any


def test_a_call_returns_its_value(pool: Any) -> None:
    assert pool.apply(abs, (-3,)) == 3
