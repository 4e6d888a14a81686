"""How far an imap call may be ahead: always enough to keep the workers busy, never too much."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from procession._engine.lookahead import (
    BYTES_AHEAD,
    ITEMS_A_WORKER,
    TINY_ITEMS_A_WORKER,
    Bounds,
    Position,
    is_worth_waking,
    room,
)

chunks = st.none() | st.integers(2, 100)
bounds_ = st.builds(
    Bounds,
    chunk=chunks,
    items=st.none() | st.integers(1, 1000),
    most_bytes=st.none() | st.integers(1, 1 << 30),
)
positions = st.builds(
    lambda workers, reach, consumed, ahead, size, pace: Position(
        workers, reach, consumed + ahead, ahead, size, pace
    ),
    st.integers(1, 64),
    st.sampled_from([1, 8]),
    st.integers(0, 100_000),
    st.integers(0, 100_000),
    st.integers(0, 1 << 31),
    st.floats(0, 1e9),
)


@given(bounds=bounds_, at=positions)
def test_what_was_asked_for_is_kept(bounds: Bounds, at: Position) -> None:
    free = room(bounds, at)
    if bounds.items is not None:
        assert at.ahead + free <= bounds.items or free <= 0
    least = 2 * at.workers * (bounds.chunk or 1)
    if at.size >= (bounds.most_bytes or BYTES_AHEAD) and bounds.items is None:
        assert free <= 0 or at.ahead < least
    most = TINY_ITEMS_A_WORKER * at.reach if bounds.chunk is None else ITEMS_A_WORKER
    if bounds.items is None:
        assert at.ahead + free <= max(most * at.workers * (bounds.chunk or 1), at.ahead + 100)


@given(bounds=bounds_, at=positions)
def test_the_workers_always_have_something_to_do(bounds: Bounds, at: Position) -> None:
    if at.ahead < min(2 * at.workers * (bounds.chunk or 1), bounds.items or 1 << 30):
        assert room(bounds, at) > 0
        assert is_worth_waking(bounds, at)


@given(bounds=bounds_, at=positions)
def test_nobody_is_woken_for_nothing(bounds: Bounds, at: Position) -> None:
    assert room(bounds, at) > 0 or not is_worth_waking(bounds, at)
