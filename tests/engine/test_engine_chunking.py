"""Sizes of chunks: all the input, evenly spread, in pieces that are worth a message."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procession._engine.chunking import LARGEST_GROWTH, SHARES, TARGET_NS, ChunkSizer

MICROSECOND = 1_000
MILLISECOND = 1_000_000

workers_ = st.integers(1, 64)
totals = st.integers(1, 20_000)
paces = st.lists(st.integers(0, 10**10), min_size=1, max_size=40)


def _sizes(sizer: ChunkSizer, total: int, pace: float | None = None) -> list[int]:
    """The sizes for so many items that take so many nanoseconds each; None: unmeasured."""
    sizes: list[int] = []
    left = total
    while left:
        size = sizer.next(left)
        assert 1 <= size <= left
        sizes.append(size)
        left -= size
        if pace is not None:
            sizer.measured(size, int(size * pace))
    return sizes


@given(workers_, totals, paces)
def test_chunks_cover_the_input_whatever_is_measured(
    workers: int, total: int, times: list[int]
) -> None:
    sizer = ChunkSizer(workers, None)
    left, turn = total, 0
    while left:
        size = sizer.next(left)
        assert 1 <= size <= max(1, left // (workers * SHARES))
        left -= size
        if turn % 3:  # answers come later, and not one for each chunk
            sizer.measured(size, times[turn % len(times)])
        turn += 1
    assert left == 0


@given(workers_, totals, st.integers(1, 30_000), paces)
def test_a_size_that_was_given_is_kept(
    workers: int, total: int, fixed: int, times: list[int]
) -> None:
    sizer = ChunkSizer(workers, fixed)
    for time in times:
        sizer.measured(fixed, time)
    sizes = _sizes(sizer, total, times[0])
    assert sizes[:-1] == [fixed] * (total // fixed if total % fixed else total // fixed - 1)
    assert sizes[-1] == (total % fixed or fixed)


@given(workers_, totals)
def test_without_a_measurement_items_go_one_by_one(workers: int, total: int) -> None:
    assert set(_sizes(ChunkSizer(workers, None), total)) == {1}


@pytest.mark.parametrize("pace", [1, MICROSECOND, 50 * MICROSECOND])
def test_chunks_of_fast_items_grow_to_the_target(pace: int) -> None:
    sizes = _sizes(ChunkSizer(2, None), 50_000_000 // pace, pace)
    assert sizes[0] == 1
    wanted = TARGET_NS // pace
    assert wanted // LARGEST_GROWTH < max(sizes) <= wanted
    for size, following in itertools.pairwise(sizes):
        assert following <= size * LARGEST_GROWTH


def test_chunks_of_slow_items_stay_single() -> None:
    assert set(_sizes(ChunkSizer(2, None), 100, TARGET_NS)) == {1}
    assert set(_sizes(ChunkSizer(2, None), 100, 100 * TARGET_NS)) == {1}


def test_a_slow_chunk_counts_at_once() -> None:
    sizer = ChunkSizer(2, None)
    for _ in range(6):
        sizer.measured(sizer.next(10**9), MICROSECOND)
    grown = sizer.next(10**9)
    assert grown > 100
    sizer.measured(grown, grown * MILLISECOND)
    assert sizer.next(10**9) == TARGET_NS // MILLISECOND


def test_a_fast_chunk_counts_by_and_by() -> None:
    sizer = ChunkSizer(2, None)
    sizer.measured(1, MILLISECOND)
    sizes = [sizer.next(10**9)]
    for _ in range(6):
        sizer.measured(sizes[-1], sizes[-1] * 10 * MICROSECOND)
        sizes.append(sizer.next(10**9))
    assert sizes == sorted(sizes)
    assert sizes[1] < TARGET_NS // (10 * MICROSECOND)
    assert sizes[-1] > sizes[1]


@given(workers_, totals, st.integers(1, 10**7))
def test_the_last_chunks_are_small(workers: int, total: int, pace: int) -> None:
    """However fast it goes, the workers end together: none begins a large piece at the end."""
    sizer = ChunkSizer(workers, None)
    left = total
    for size in _sizes(sizer, total, pace):
        assert size == 1 or size * workers * SHARES <= left
        left -= size


def test_nothing_measured_is_no_division_by_zero() -> None:
    sizer = ChunkSizer(1, None)
    sizer.measured(1, 0)
    assert 1 <= sizer.next(1000) <= LARGEST_GROWTH
