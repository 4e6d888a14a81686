"""Callbacks: when they run, in which thread, and what they may do."""

from __future__ import annotations

from typing import Any


def test_a_call_returns_its_value(pool: Any) -> None:
    assert pool.apply(abs, (-3,)) == 3
