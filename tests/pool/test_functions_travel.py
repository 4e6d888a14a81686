"""Every callable reaches the workers, as it is at the time of the call."""

from __future__ import annotations

from typing import Any


def test_a_call_returns_its_value(pool: Any) -> None:
    assert pool.apply(abs, (-3,)) == 3
