"""Calls that can not be: an error of that call, at once, and the pool goes on."""

from __future__ import annotations

from typing import Any


def test_a_call_returns_its_value(pool: Any) -> None:
    assert pool.apply(abs, (-3,)) == 3
