"""The states of an engine, and what its fast path is told of them."""

from __future__ import annotations

from typing import Any

import pytest

from procession._engine.policy import PoolState
from tests.engine.engines import FakeEngine

ENDS = [PoolState.CLOSING, PoolState.TERMINATING, PoolState.BROKEN]


class FakeFastPath:
    """Notes in which state the engine was when it was told something.

    Attributes:
        told: (whether work is taken, the state then).
    """

    is_shrunk = False

    def __init__(self, engine: Any) -> None:
        self.told: list[tuple[bool, PoolState]] = []
        self._engine = engine

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "is_running":
            self.told.append((value, self._engine.state))
        super().__setattr__(name, value)


@pytest.mark.parametrize("end", ENDS)
def test_the_fast_path_takes_nothing_before_the_state_says_so(end: PoolState) -> None:
    engine = FakeEngine()
    engine.fast = fast = FakeFastPath(engine)  # type: ignore[assignment]
    engine.turn(end)
    assert fast.told == [(False, PoolState.RUNNING)]
    assert engine.state is end


@pytest.mark.parametrize("end", [PoolState.TERMINATING, PoolState.BROKEN])
def test_closing_does_not_take_the_place_of_another_end(end: PoolState) -> None:
    engine = FakeEngine()
    engine.turn(end)
    engine.turn(PoolState.CLOSING)
    assert engine.state is end


def test_what_is_closing_can_be_terminated() -> None:
    engine = FakeEngine()
    engine.turn(PoolState.CLOSING)
    engine.turn(PoolState.TERMINATING)
    assert engine.state is PoolState.TERMINATING


def test_who_is_shrunk_has_to_be_told_of_work_by_the_long_way() -> None:
    engine = FakeEngine()
    engine.fast = fast = FakeFastPath(engine)  # type: ignore[assignment]
    for shrunk in (True, False):
        engine.is_shrunk = shrunk
        assert fast.is_shrunk is shrunk
        assert engine.is_shrunk is shrunk
