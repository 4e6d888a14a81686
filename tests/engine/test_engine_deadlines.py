"""Which tasks are late, and when to look again: for all claims, limits and moments."""

from __future__ import annotations

import math
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from procession._engine.deadlines import (
    SECOND,
    Asked,
    Late,
    Means,
    Row,
    first_possible,
    look,
    nanoseconds,
)


class Given(NamedTuple):
    """Limits as a task's options give them."""

    timeout: float | None
    grace: float | None = None


START = 1_000 * SECOND


def row(number: int = 7, *, begun: int = 1, done: int = 0, item_since: int = START) -> Row:
    """A claim of seat 3."""
    return Row(3, number, begun, 10, done, START - SECOND, item_since)


def test_in_time() -> None:
    outlook = look([row()], lambda _: Given(2.0), START + 2 * SECOND - 1)
    assert outlook.due == []
    assert outlook.next == START + 2 * SECOND


def test_late_is_killed_at_once_without_a_grace() -> None:
    outlook = look([row()], lambda _: Given(2.0), START + 2 * SECOND)
    assert outlook.due == [Late(3, 7, 0, Means.KILL)]
    assert outlook.next is None


def test_late_is_asked_once_and_then_killed() -> None:
    limits = Given(2.0, 0.5)
    first = look([row()], lambda _: limits, START + 2 * SECOND)
    assert first.due == [Late(3, 7, 0, Means.STOP)]
    assert first.next == START + 2 * SECOND + SECOND // 2
    second = look([row()], lambda _: limits, START + 2 * SECOND + 1, first.asked)
    assert second.due == []
    assert second.next == first.next
    third = look([row()], lambda _: limits, first.next, second.asked)
    assert third.due == [Late(3, 7, 0, Means.KILL)]


def test_the_next_item_has_its_own_time() -> None:
    limits = Given(2.0, 0.5)
    first = look([row()], lambda _: limits, START + 2 * SECOND)
    following = row(begun=2, done=1, item_since=START + 2 * SECOND)
    second = look([following], lambda _: limits, START + 3 * SECOND, first.asked)
    assert (second.due, second.next) == ([], START + 4 * SECOND)
    third = look([following], lambda _: limits, START + 4 * SECOND, second.asked)
    assert third.due == [Late(3, 7, 1, Means.STOP)]


def test_a_single_call_has_its_time_from_the_claim_on() -> None:
    call = Row(3, 7, 0, 1, 0, START, START)
    assert look([call], lambda _: Given(2.0), START).next == START + 2 * SECOND
    outlook = look([call], lambda _: Given(2.0), START + 2 * SECOND)
    assert outlook.due == [Late(3, 7, None, Means.KILL)]
    first = look([call], lambda _: Given(2.0, 1.0), START + 2 * SECOND)
    assert first.due == [Late(3, 7, None, Means.STOP)]
    second = look([call], lambda _: Given(2.0, 1.0), START + 3 * SECOND, first.asked)
    assert second.due == [Late(3, 7, None, Means.KILL)]


def test_between_two_items_nothing_is_late() -> None:
    outlook = look([row(begun=4, done=4)], lambda _: Given(0.0), START + 99 * SECOND)
    assert outlook == ([], frozenset(), None)


def test_what_has_an_answer_or_no_limit_is_left_alone() -> None:
    for limits in ({}, {7: Given(None)}, {7: Given(None, 1.0)}):
        outlook = look([row()], limits.get, START + 10**6 * SECOND)
        assert outlook == ([], frozenset(), None)


def test_an_endless_limit_is_one() -> None:
    outlook = look([row()], lambda _: Given(math.inf, math.inf), START)
    assert outlook.due == []
    assert outlook.next is not None


def test_when_the_next_task_can_be_late() -> None:
    assert first_possible([], 5) is None
    assert first_possible({2.0, 0.25, 7.0}, 5) == 5 + SECOND // 4


@given(st.floats(0, 10**8))
def test_a_limit_is_never_shortened(seconds: float) -> None:
    assert nanoseconds(seconds) >= seconds * SECOND * (1 - 1e-15)
    assert nanoseconds(seconds) <= seconds * SECOND + 1 + seconds * 1e-6


limits_ = st.builds(
    Given,
    st.none() | st.floats(0.001, 10),
    st.none() | st.floats(0, 10),
)
rows_ = st.lists(
    st.builds(
        Row,
        st.integers(0, 9),
        st.integers(1, 5),
        st.integers(1, 3),
        st.just(3),
        st.integers(0, 3),
        st.just(START - SECOND),
        st.integers(START, START + 9 * SECOND),
    ),
    unique_by=lambda row: row.seat,
    max_size=5,
)


@given(rows_, st.fixed_dictionaries(dict.fromkeys(range(1, 6), limits_)))
def test_followed_from_look_to_look_nothing_is_early_late_or_forgotten(
    rows: list[Row], limits: dict[int, Given]
) -> None:
    """Whoever sleeps exactly as long as he is told does each thing once, and at its moment."""
    now, asked = START, Asked()
    seen: dict[tuple[int, Means], int] = {}
    alive = list(rows)
    for _ in range(50):
        outlook = look(alive, limits.get, now, asked)
        asked = outlook.asked
        for late in outlook.due:
            assert (late.seat, late.means) not in seen
            seen[late.seat, late.means] = now
        killed = {late.seat for late in outlook.due if late.means is Means.KILL}
        alive = [row for row in alive if row.seat not in killed]
        if outlook.next is None:
            break
        assert outlook.next > now
        now = outlook.next
    expected: dict[tuple[int, Means], int] = {}
    for row in rows:
        timeout, grace = limits[row.number]
        if not row.is_running or timeout is None:
            continue
        late_at = row.item_since + nanoseconds(timeout)
        if grace is None:
            expected[row.seat, Means.KILL] = late_at
            continue
        kill_at = late_at + nanoseconds(grace)
        if kill_at > late_at:
            expected[row.seat, Means.STOP] = late_at
        expected[row.seat, Means.KILL] = kill_at
    assert seen == expected
