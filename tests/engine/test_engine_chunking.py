"""Sizes of pieces: all the input, evenly spread, in pieces that are worth a message."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procession._engine.chunking import (
    BYTES,
    LARGEST,
    LARGEST_GROWTH,
    MAP_NS,
    SHARES,
    STREAM_NS,
    ChunkSizer,
    bytes_a_piece,
)

MICROSECOND = 1_000
MILLISECOND = 1_000_000
NO_BOUND = 1 << 24

workers_ = st.integers(1, 64)
totals = st.integers(1, 20_000)
paces = st.lists(st.integers(0, 10**10), min_size=1, max_size=40)
targets = st.sampled_from([MAP_NS, STREAM_NS])


def _sizes(
    sizer: ChunkSizer, workers: int, total: int, pace: float | None = None, room: int = NO_BOUND
) -> list[int]:
    """The sizes for so many items that take so many nanoseconds each; None: unmeasured."""
    sizes: list[int] = []
    left = total
    while left:
        size = sizer.next(left, workers, room)
        assert 1 <= size <= left
        sizes.append(size)
        left -= size
        if pace is not None:
            sizer.measured(size, int(size * pace))
    return sizes


@given(workers_, totals, paces, targets, st.none() | st.integers(1, 1000))
def test_pieces_cover_the_input_whatever_is_measured(
    workers: int, total: int, times: list[int], target: int, room: int | None
) -> None:
    sizer = ChunkSizer(None, target)
    left, turn = total, 0
    while left:
        size = sizer.next(left, workers, room or NO_BOUND)
        assert 1 <= size <= max(1, left // (workers * SHARES))
        assert size <= (room or NO_BOUND)
        left -= size
        if turn % 3:  # answers come later, and not one for each piece
            sizer.measured(size, times[turn % len(times)])
        turn += 1
    assert left == 0


@given(workers_, paces, targets, st.integers(1, NO_BOUND))
def test_where_the_end_is_not_known_only_the_room_is_a_bound(
    workers: int, times: list[int], target: int, room: int
) -> None:
    sizer = ChunkSizer(None, target)
    for time in times:
        size = sizer.next(None, workers, room)
        assert 1 <= size <= min(room, LARGEST)
        sizer.measured(size, time)


@given(workers_, totals, st.integers(1, 30_000), paces, targets)
def test_a_size_that_was_given_is_kept(
    workers: int, total: int, fixed: int, times: list[int], target: int
) -> None:
    sizer = ChunkSizer(fixed, target)
    for time in times:
        sizer.measured(fixed, time)
    assert sizer.next(None, workers, NO_BOUND) == fixed
    sizes = _sizes(sizer, workers, total, times[0])
    assert sizes[:-1] == [fixed] * (total // fixed if total % fixed else total // fixed - 1)
    assert sizes[-1] == (total % fixed or fixed)


@given(workers_, totals, targets)
def test_without_a_measurement_items_go_one_by_one(workers: int, total: int, target: int) -> None:
    assert set(_sizes(ChunkSizer(None, target), workers, total)) == {1}


@pytest.mark.parametrize("target", [MAP_NS, STREAM_NS])
@pytest.mark.parametrize("pace", [1, MICROSECOND, 50 * MICROSECOND])
def test_pieces_of_fast_items_grow_to_the_target(pace: int, target: int) -> None:
    sizes = _sizes(ChunkSizer(None, target), 2, 50_000_000 // pace, pace)
    assert sizes[0] == 1
    wanted = min(target // pace, LARGEST)
    assert wanted // LARGEST_GROWTH < max(sizes) <= wanted
    for size, following in itertools.pairwise(sizes):
        assert following <= size * LARGEST_GROWTH


@pytest.mark.parametrize("target", [MAP_NS, STREAM_NS])
@pytest.mark.parametrize("times", [1, 100])
def test_pieces_of_slow_items_stay_single(target: int, times: int) -> None:
    assert set(_sizes(ChunkSizer(None, target), 2, 100, times * target)) == {1}


def test_no_piece_is_larger_than_there_is_room() -> None:
    sizes = _sizes(ChunkSizer(None, MAP_NS), 2, 10_000, 1, room=7)
    assert max(sizes) == 7


def test_a_slow_piece_counts_at_once() -> None:
    sizer = ChunkSizer(None, MAP_NS)
    for _ in range(6):
        sizer.measured(sizer.next(10**9, 2, NO_BOUND), MICROSECOND)
    grown = sizer.next(10**9, 2, NO_BOUND)
    assert grown > 100
    sizer.measured(grown, grown * MILLISECOND)
    assert sizer.next(10**9, 2, NO_BOUND) == MAP_NS // MILLISECOND


def test_a_fast_piece_counts_by_and_by() -> None:
    sizer = ChunkSizer(None, MAP_NS)
    sizer.measured(1, MILLISECOND)
    sizes = [sizer.next(10**9, 2, NO_BOUND)]
    for _ in range(6):
        sizer.measured(sizes[-1], sizes[-1] * 10 * MICROSECOND)
        sizes.append(sizer.next(10**9, 2, NO_BOUND))
    assert sizes == sorted(sizes)
    assert sizes[1] < MAP_NS // (10 * MICROSECOND)
    assert sizes[-1] > sizes[1]


@given(workers_, totals, st.integers(1, 10**7), targets)
def test_the_last_pieces_are_small(workers: int, total: int, pace: int, target: int) -> None:
    """However fast it goes, the workers end together: none begins a large piece at the end."""
    sizer = ChunkSizer(None, target)
    left = total
    for size in _sizes(sizer, workers, total, pace):
        assert size == 1 or size * workers * SHARES <= left
        left -= size


def test_nothing_measured_is_no_division_by_zero() -> None:
    sizer = ChunkSizer(None, MAP_NS)
    sizer.measured(1, 0)
    assert 1 <= sizer.next(1000, 1, NO_BOUND) <= LARGEST_GROWTH
    assert sizer.ns_an_item > 0


@given(workers_, st.lists(st.integers(0, 1 << 28), min_size=1, max_size=60))
def test_pieces_have_no_more_bytes_than_their_share(workers: int, weights: list[int]) -> None:
    """Where all items are fast: never more than a share, at the largest that was seen of late."""
    sizer = ChunkSizer(None, MAP_NS)
    for weight in weights:
        size = sizer.next(None, workers, NO_BOUND)
        assert size == 1 or size * sizer.bytes_an_item <= bytes_a_piece(workers)
        sizer.packed(size, size * weight)
        assert sizer.bytes_an_item >= weight
        sizer.measured(size, size)


def test_small_items_are_bound_by_time_alone() -> None:
    sizer = ChunkSizer(None, MAP_NS)
    for _ in range(8):
        size = sizer.next(None, 2, NO_BOUND)
        sizer.packed(size, size * 8)
        sizer.measured(size, size * MICROSECOND)
    assert sizer.next(None, 2, NO_BOUND) == MAP_NS // MICROSECOND


def test_large_items_travel_alone_however_fast_they_are() -> None:
    sizer = ChunkSizer(None, MAP_NS)
    for _ in range(8):
        size = sizer.next(10**6, 2, NO_BOUND)
        assert size == 1
        sizer.packed(size, size * BYTES)
        sizer.measured(size, size * MICROSECOND)


def test_a_piece_that_found_no_room_is_halved() -> None:
    sizer = ChunkSizer(None, MAP_NS)
    sizer.measured(16, 16 * MICROSECOND)
    items = sizer.next(10**6, 1, NO_BOUND)
    while sizer.can_shrink(items):
        sizer.halve(items)
        smaller = sizer.next(10**6, 1, NO_BOUND)
        assert smaller == items // 2
        items = smaller
    assert items == 1
    assert not ChunkSizer(7, MAP_NS).can_shrink(7)


def test_few_pieces_where_a_journey_is_dear() -> None:
    pace, journey, total = 300, 10_000_000, 100_000
    sizer = ChunkSizer(None, 2 * journey, journey)
    sizes, left = [], total
    while left:
        sizes.append(sizer.next(left, 2, NO_BOUND))
        left -= sizes[-1]
        sizer.measured(sizes[-1], sizes[-1] * pace)
    assert sizes[0] == 1
    assert all((size + 1) * pace >= journey for size in sizes[1:-1])
    assert len(sizes) <= 5


def test_a_dear_journey_does_not_make_long_items_wait() -> None:
    journey = 10_000_000
    sizer = ChunkSizer(None, 2 * journey, journey)
    sizer.measured(1, 5 * journey)
    assert sizer.next(1000, 2, NO_BOUND) == 1


def test_a_larger_piece_tells_more_where_a_journey_is_dear() -> None:
    sizer = ChunkSizer(None, 20_000_000, 10_000_000)
    sizer.measured(1, 10_000)
    assert sizer.next(None, 2, NO_BOUND) == 1000
    sizer.measured(1000, 300_000)
    assert sizer.ns_an_item == 300
    sizer.measured(1000, 900_000)
    assert sizer.ns_an_item == 900


@pytest.mark.parametrize(("total", "sizes"), [(100_001, [50_001, 50_000]), (7, [4, 3])])
def test_what_an_earlier_call_measured_is_believed_as_far_as_equal_shares_go(
    total: int, sizes: list[int]
) -> None:
    sizer = ChunkSizer(None, 20_000_000, 10_000_000, 300)
    assert _sizes(sizer, 2, total) == sizes


def test_an_earlier_call_makes_no_piece_longer_than_wanted() -> None:
    sizer = ChunkSizer(None, 20_000_000, 10_000_000, 300)
    assert sizer.next(10**6, 2, NO_BOUND) == 20_000_000 // 300
    sizer.measured(60_000, 60_000 * 300)
    assert sizer.next(10**5, 2, NO_BOUND) == 10_000_000 // 300


def test_what_is_measured_now_counts_more_than_an_earlier_call() -> None:
    sizer = ChunkSizer(None, 20_000_000, 10_000_000, 300)
    sizer.measured(100, 100 * MICROSECOND * 100)
    assert sizer.ns_an_item == 100 * MICROSECOND
    assert sizer.next(10**6, 2, NO_BOUND) == 200
