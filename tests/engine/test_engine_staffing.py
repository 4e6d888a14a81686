"""Who is hired and who goes: the table of a worker's life, and plans in all orders of events."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from procession._engine.policy import PoolState
from procession._engine.staffing import (
    LIFE,
    MEANING,
    NEWS,
    PLACED,
    Event,
    Life,
    Order,
    Situation,
    Step,
    after,
    is_settled,
    plan,
)
from tests.engine.state_machine_page import PAGE, page

PATIENCE = 3
RUNNING = Situation(
    seats={},
    capacity=64,
    wanted=2,
    wants_spare=False,
    may_hire_spare=True,
    pool=PoolState.RUNNING,
    work_left=False,
    false_starts=0,
    failed_hires=0,
    patience=PATIENCE,
    may_hire=True,
)


def plan_for(**changes: object) -> list[Order]:
    """The plan for a running pool of two, with some facts changed."""
    return plan(dataclasses.replace(RUNNING, **changes))  # type: ignore[arg-type]


# ---- a worker's life


def test_every_state_has_a_meaning_and_is_reached_and_left() -> None:
    assert set(MEANING) == set(Life)
    assert {life for life, _ in LIFE} == set(Life)
    assert set(LIFE.values()) == set(Life)


def test_all_that_live_can_be_killed_and_can_end() -> None:
    for life in set(Life) - {Life.EMPTY}:
        assert after(life, Event.ENDED) is Life.EMPTY
        if life is not Life.DOOMED:
            assert after(life, Event.KILLED) is Life.DOOMED


def test_late_news_changes_nothing() -> None:
    for life, event in itertools.product(Life, NEWS):
        assert after(life, event) is LIFE.get((life, event), life)


def test_what_can_not_be_is_an_error() -> None:
    with pytest.raises(ValueError, match="'empty' can not be 'activated'"):
        after(Life.EMPTY, Event.ACTIVATED)


def test_who_leaves_or_is_doomed_comes_back_by_no_event_but_the_end() -> None:
    for (life, event), following in LIFE.items():
        if life in (Life.LEAVING, Life.DOOMED) and following is not life:
            assert event in (Event.KILLED, Event.ENDED)


# ---- single plans


def test_an_empty_pool_is_filled_from_the_lowest_seat() -> None:
    assert plan_for() == [Order(Step.HIRE, 0), Order(Step.HIRE, 1)]
    assert plan_for(seats={0: Life.SERVING, 2: Life.DOOMED}) == [Order(Step.HIRE, 1)]


def test_a_killed_one_is_replaced_by_the_spare_at_once_and_the_spare_by_a_new_one() -> None:
    seats = {0: Life.DOOMED, 1: Life.SERVING, 2: Life.BENCH}
    orders = plan_for(seats=seats, wants_spare=True)
    assert orders == [Order(Step.ACTIVATE, 2), Order(Step.HIRE_FOR_BENCH, 3)]


def test_a_spare_that_may_not_come_yet_is_all_that_is_not_hired() -> None:
    seats = {0: Life.DOOMED, 1: Life.SERVING, 2: Life.BENCH}
    wanted = {"wants_spare": True, "may_hire_spare": False}
    assert plan_for(seats=seats, **wanted) == [Order(Step.ACTIVATE, 2)]
    assert plan_for(seats={1: Life.SERVING}, **wanted) == [Order(Step.HIRE, 0)]
    retiring = {0: Life.SERVING, 1: Life.RETIRING}
    assert plan_for(seats=retiring, **wanted) == [Order(Step.HIRE_FOR_BENCH, 2)]
    there = {0: Life.SERVING, 1: Life.SERVING, 2: Life.BENCH}
    assert plan_for(seats=there, **wanted) == []


def test_one_that_retires_stays_until_its_successor_is_warm() -> None:
    seats = {0: Life.RETIRING, 1: Life.SERVING}
    assert plan_for(seats=seats) == [Order(Step.HIRE_FOR_BENCH, 2)]
    assert plan_for(seats={**seats, 2: Life.WARMING}) == []
    assert plan_for(seats={**seats, 2: Life.BENCH}) == [Order(Step.LET_GO, 0)]


def test_the_successor_waits_until_the_place_is_free() -> None:
    seats = {0: Life.LEAVING, 1: Life.SERVING, 2: Life.BENCH}
    assert plan_for(seats=seats) == []
    del seats[0]
    assert plan_for(seats=seats) == [Order(Step.ACTIVATE, 2)]


def test_one_that_retired_by_itself_is_followed_by_who_is_there() -> None:
    assert plan_for(seats={1: Life.SERVING, 2: Life.WARMING}) == [Order(Step.ACTIVATE, 2)]


def test_who_is_ready_goes_before_who_is_not() -> None:
    seats = {0: Life.SERVING, 2: Life.WARMING, 3: Life.BENCH}
    assert plan_for(seats=seats, wants_spare=True) == [Order(Step.ACTIVATE, 3)]


def test_a_warm_one_relieves_one() -> None:
    seats = {0: Life.RETIRING, 1: Life.RETIRING, 2: Life.BENCH, 3: Life.WARMING}
    assert plan_for(seats=seats) == [Order(Step.LET_GO, 0)]
    after_that = {**seats, 0: Life.LEAVING}
    assert plan_for(seats=after_that) == []


def test_a_pool_that_shrinks_lets_the_highest_go_and_those_that_retire_first() -> None:
    seats = dict.fromkeys(range(4), Life.SERVING)
    assert plan_for(seats=seats) == [Order(Step.LET_GO, 3), Order(Step.LET_GO, 2)]
    seats[0] = Life.RETIRING
    assert plan_for(seats=seats) == [Order(Step.LET_GO, 0), Order(Step.LET_GO, 3)]


def test_a_pool_that_grows_again_does_not_run_more_than_is_wanted() -> None:
    seats = {0: Life.SERVING, 1: Life.SERVING, 2: Life.LEAVING, 3: Life.LEAVING}
    orders = plan_for(seats=seats, wanted=4)
    assert orders == [Order(Step.HIRE_FOR_BENCH, 4), Order(Step.HIRE_FOR_BENCH, 5)]


def test_a_spare_that_is_not_wanted_any_more_goes() -> None:
    seats = {0: Life.SERVING, 1: Life.SERVING, 2: Life.BENCH, 3: Life.WARMING}
    assert plan_for(seats=seats) == [Order(Step.LET_GO, 2), Order(Step.LET_GO, 3)]
    assert plan_for(seats=seats, wants_spare=True) == [Order(Step.LET_GO, 3)]


def test_nobody_is_hired_where_there_is_no_seat() -> None:
    seats = {0: Life.SERVING, 1: Life.RETIRING, 2: Life.LEAVING}
    assert plan_for(seats=seats, capacity=3) == []


@pytest.mark.parametrize("pool", [PoolState.BROKEN, PoolState.TERMINATING])
@pytest.mark.parametrize("false_starts", [0, PATIENCE + 1])
def test_nothing_is_planned_at_the_end(pool: PoolState, false_starts: int) -> None:
    assert plan_for(pool=pool, work_left=True, false_starts=false_starts) == []


def test_while_closing_it_depends_on_the_work() -> None:
    assert plan_for(pool=PoolState.CLOSING) == []
    orders = plan_for(pool=PoolState.CLOSING, work_left=True)
    assert orders == [Order(Step.HIRE, 0), Order(Step.HIRE, 1)]


def test_false_starts_break_the_pool_whoever_else_is_there() -> None:
    for seats in ({}, {0: Life.SERVING}):
        assert plan_for(seats=seats, false_starts=PATIENCE) != [Order(Step.BREAK_POOL)]
        assert plan_for(seats=seats, false_starts=PATIENCE + 1) == [Order(Step.BREAK_POOL)]


def test_no_room_breaks_only_a_pool_without_anybody() -> None:
    assert plan_for(failed_hires=PATIENCE + 1) == [Order(Step.BREAK_POOL)]
    orders = plan_for(seats={0: Life.SERVING}, failed_hires=PATIENCE + 1)
    assert orders == [Order(Step.HIRE, 1)]
    assert plan_for(seats={0: Life.SERVING}, failed_hires=1, may_hire=False) == []


# ---- all orders of events


class Staff(RuleBasedStateMachine):
    """A pool whose workers do whatever they may, and whose owner changes his mind."""

    def __init__(self) -> None:
        super().__init__()
        self.now = dataclasses.replace(RUNNING, seats={}, wanted=3, capacity=16)
        self.hires_since_ready = 0
        self.is_broken = False

    def change(self, **changes: object) -> None:
        self.now = dataclasses.replace(self.now, **changes)  # type: ignore[arg-type]

    def happens(self, seat: int, event: Event) -> None:
        seats = dict(self.now.seats)
        life = after(seats.pop(seat, Life.EMPTY), event)
        if life is not Life.EMPTY:
            seats[seat] = life
        self.change(seats=seats)

    def follow(self) -> None:
        """Plan once, check each step, and take it."""
        before = Counter(self.now.seats.values())
        placed = sum(before[life] for life in PLACED)
        for order in plan(self.now):
            assert not self.is_broken
            life = self.now.seats.get(order.seat, Life.EMPTY)
            if order.step is Step.BREAK_POOL:
                self.is_broken = True
                self.change(pool=PoolState.BROKEN)
            elif order.step is Step.LET_GO:
                if life is Life.RETIRING and placed <= self.now.wanted:
                    assert before[Life.BENCH], "it had no successor that was ready"
                self.happens(order.seat, Event.LET_GO)
            elif order.step is Step.ACTIVATE:
                placed += 1
                assert placed <= self.now.wanted
                self.happens(order.seat, Event.ACTIVATED)
            else:
                assert life is Life.EMPTY
                assert order.seat == min(set(range(16)) - set(self.now.seats))
                assert self.now.may_hire
                assert self.now.pool is PoolState.RUNNING or self.now.work_left
                self.hires_since_ready += 1
                if order.step is Step.HIRE:
                    placed += 1
                    assert placed <= self.now.wanted
                    self.happens(order.seat, Event.HIRED)
                else:
                    self.happens(order.seat, Event.HIRED_FOR_BENCH)

    @rule()
    def look_around(self) -> None:
        self.follow()
        assert plan(self.now) == [], "a plan that was followed leaves nothing to do"

    @rule(data=st.data())
    @precondition(lambda self: self.now.seats)
    def something_happens_to_a_worker(self, data: st.DataObject) -> None:
        seat = data.draw(st.sampled_from(sorted(self.now.seats)))
        life = self.now.seats[seat]
        possible = {Event.READY, Event.RETIRES, Event.KILLED, Event.ENDED}
        known = sorted((e for e in possible if (life, e) in LIFE), key=lambda e: e.value)
        self.worker_event(seat, data.draw(st.sampled_from(known)))

    def worker_event(self, seat: int, event: Event) -> None:
        life = self.now.seats[seat]
        if event is Event.READY:
            self.hires_since_ready = 0
            self.change(false_starts=0, failed_hires=0)
        elif event is Event.ENDED and life in (Life.STARTING, Life.WARMING):
            self.change(false_starts=self.now.false_starts + 1)
        self.happens(seat, event)

    @rule(wanted=st.integers(1, 5))
    def resize(self, wanted: int) -> None:
        self.change(wanted=wanted)

    @rule(wants=st.booleans())
    def want_spare(self, wants: bool) -> None:
        self.change(wants_spare=wants)

    @rule(may=st.booleans())
    def spare_may_come(self, may: bool) -> None:
        self.change(may_hire_spare=may)

    @rule(may=st.booleans())
    def room(self, may: bool) -> None:
        self.change(may_hire=may)

    @rule(left=st.booleans())
    def work(self, left: bool) -> None:
        self.change(work_left=left)

    @rule()
    @precondition(lambda self: self.now.pool is PoolState.RUNNING)
    def close(self) -> None:
        self.change(pool=PoolState.CLOSING)

    @rule()
    @precondition(lambda self: self.now.pool in (PoolState.RUNNING, PoolState.CLOSING))
    def it_comes_to_rest(self) -> None:
        """If all workers behave, the pool soon has who it wants, and nobody else."""
        self.change(may_hire=True, may_hire_spare=True, work_left=True, false_starts=0)
        for _ in range(20):
            self.follow()
            for seat, life in list(self.now.seats.items()):
                if life in (Life.STARTING, Life.WARMING):
                    self.worker_event(seat, Event.READY)
                elif life in (Life.LEAVING, Life.DOOMED):
                    self.worker_event(seat, Event.ENDED)
        lives = Counter(self.now.seats.values())
        spare = {Life.BENCH: 1} if self.now.wants_spare else {}
        assert lives == {Life.SERVING: self.now.wanted, **spare}
        assert is_settled(self.now.seats.values())

    @rule()
    @precondition(lambda self: self.now.pool is PoolState.RUNNING)
    def nobody_starts(self) -> None:
        """If no worker ever starts, hiring ends by itself."""
        self.change(may_hire=True, may_hire_spare=True)
        for _ in range(20):
            self.follow()
            for seat in list(self.now.seats):
                self.worker_event(seat, Event.ENDED)
        assert self.is_broken

    @invariant()
    def no_respawn_loop(self) -> None:
        assert self.hires_since_ready <= PATIENCE + 4 * 5 + 16


TestStaff = Staff.TestCase
TestStaff.settings = settings(max_examples=150, stateful_step_count=40)


def test_the_page_says_what_the_tables_say() -> None:
    assert PAGE.read_text() == page(), "run `python -m tests.engine.state_machine_page`"
