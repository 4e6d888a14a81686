"""MapJob: cut late, sent a few at a time, put together in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procession._engine.chunking import PIECES_A_WORKER
from procession._engine.engine import Engine
from procession._engine.maps import MapJob
from procession._engine.options import PLAIN, Options
from procession._engine.policy import PoolState
from procession._engine.settling import LOADING
from procession.errors.pool import PoolTerminated, WorkerDied
from tests.engine.engines import FakeEngine
from tests.engine.schedules import Schedule, choices, value_of

options_ = st.builds(
    Options,
    retries=st.integers(0, 3),
    on_death=st.sampled_from([None, "fail", "retry"]),
    errors=st.sampled_from(["raise", "return", "skip", "group"]),
    max_in_flight=st.none() | st.integers(1, 9),
    max_bytes=st.none() | st.integers(1, 2000),
    timeout=st.just(1.0),
)


def _check(job: MapJob, schedule: Schedule, count: int, errors: str) -> None:
    """The outcome is that of each item in its place."""
    success, values = job.outcome()
    failed = {item for item in range(count) if item not in schedule.done}
    if errors in ("raise", "group") and failed:
        assert not success
        wrong = values.exceptions if errors == "group" else [values]
        for error in wrong:
            item = error.args[0] if type(error) is ValueError else error.item
            assert schedule.is_right(item, False, error)
        if errors == "group":
            assert len(wrong) == len(failed)
        return
    assert success
    if errors == "skip":
        assert values == [value_of(item) for item in range(count) if item not in failed]
        return
    assert len(values) == count
    for item, value in enumerate(values):
        assert schedule.is_right(item, item in schedule.done, value)


@given(
    count=st.integers(1, 30),
    chunk_size=st.none() | st.integers(1, 12),
    workers=st.integers(1, 3),
    room=st.none() | st.integers(1, 4),
    as_list=st.booleans(),
    twice=st.booleans(),
    options=options_,
    drawn=choices,
)
def test_each_item_has_its_one_outcome_whatever_happens_when(
    count: int,
    chunk_size: int | None,
    workers: int,
    room: int | None,
    as_list: bool,
    twice: bool,
    options: Options,
    drawn: list[int],
) -> None:
    engine = FakeEngine(workers, room)
    engine.channel.tells_twice = twice
    schedule = Schedule(engine, drawn, options)
    items: Any = range(count) if as_list else iter(range(count))
    job = engine.start_map(items, chunk_size, options)
    assert engine.wait(job)
    _check(job, schedule, count, options.errors)
    if options.errors != "raise" or options.retries:  # else what is behind an error is not run
        assert schedule.begun | schedule.unloadable == set(range(count))
    assert job.retried == sum(map(len, schedule.failures.values())) - len(
        schedule.failures.keys() - schedule.done - schedule.unloadable
    )
    schedule.run_out()
    engine.assert_clean()
    tried = engine.settler._trials.get(job, {})
    assert all(place <= LOADING for place in tried)


@given(
    count=st.integers(1, 30),
    chunk_size=st.none() | st.integers(1, 12),
    as_list=st.booleans(),
    options=options_,
    moment=st.integers(0, 40),
    drawn=choices,
    how=st.sampled_from(["cancel", "abandon", "cancel waiting", "terminate"]),
)
def test_given_up_at_any_moment_it_is_over_and_begins_no_more(
    count: int,
    chunk_size: int | None,
    as_list: bool,
    options: Options,
    moment: int,
    drawn: list[int],
    how: str,
) -> None:
    engine = FakeEngine(2)
    schedule = Schedule(engine, drawn, options)
    job = engine.start_map(range(count) if as_list else iter(range(count)), chunk_size, options)
    for _ in range(moment):
        if not schedule.is_over:
            schedule.step()
        job.feed()
    was_over = job.answer
    _give_up(engine, job, how)
    if how in ("cancel", "terminate"):
        assert job.answer
    begun = schedule.begun
    schedule.run_out()
    if how == "cancel":
        # One that a worker has claimed by itself is not taken from it.
        assert len(schedule.begun - begun) <= engine.workers
    job.feed()
    assert job.answer
    success, value = job.outcome()
    if how == "cancel" and not was_over:
        assert isinstance(value, CancelledError)
    elif success:
        assert schedule.begun | schedule.unloadable == set(range(count))
        _check(job, schedule, count, options.errors)
    elif isinstance(value, ExceptionGroup):
        assert options.errors == "group"
    else:
        over = {"abandon": RuntimeError, "terminate": PoolTerminated}.get(how, CancelledError)
        assert isinstance(value, (over, ValueError, WorkerDied, TimeoutError))
    engine.feeder.feed_jobs()
    engine.assert_clean()
    assert not job._on_the_way


def _give_up(engine: FakeEngine, job: MapJob, how: str) -> None:
    if how == "cancel":
        job.cancel()
    elif how == "abandon":
        job.abandon(RuntimeError("over"))
    elif how == "cancel waiting":
        engine.cancel_waiting()
    else:
        engine.state = PoolState.TERMINATING
        engine.fail_all()


@pytest.mark.parametrize("errors", ["raise", "return", "skip", "group"])
@pytest.mark.parametrize("how", ["cancel waiting", "terminate"])
def test_what_is_not_run_because_all_is_over_is_no_error_of_an_item(errors: Any, how: str) -> None:
    engine = FakeEngine(workers=2)
    job = engine.start_map(range(8), 2, Options(errors=errors))
    engine.answer_one()
    assert job.all_sent
    _give_up(engine, job, how)
    while engine.open:  # what the workers were about to take is left to them
        engine.answer_one()
    assert job.answer
    success, error = job.outcome()
    assert not success
    assert type(error) is (PoolTerminated if how == "terminate" else CancelledError)


def test_so_many_pieces_are_on_their_way_and_no_more() -> None:
    engine = FakeEngine(workers=3)
    job = engine.start_map(range(100), 2)
    while job.answer is None:
        assert len(engine.ring) == min(PIECES_A_WORKER * 3, 50 - job.settled // 2)
        engine.answer_one()
        job.feed()
    assert job.outcome() == (True, list(range(100)))


@pytest.mark.parametrize("chunk_size", [None, 1, 7])
@pytest.mark.parametrize("limit", [1, 5, 20])
def test_never_more_items_are_under_way_than_asked_for(chunk_size: int | None, limit: int) -> None:
    engine = FakeEngine(workers=2)
    job = engine.start_map(range(100), chunk_size, Options(max_in_flight=limit))
    while job.answer is None:
        assert sum(piece.end - piece.first for piece in engine.open.values()) <= limit
        engine.answer_one()
        job.feed()
    assert job.outcome() == (True, list(range(100)))


def test_never_more_bytes_are_under_way_than_asked_for() -> None:
    engine = FakeEngine(workers=8)
    job = engine.start_map([bytes(1000)] * 50, 1, Options(max_bytes=3000))
    while job.answer is None:
        assert len(engine.ring) <= 3
        engine.answer_one(function=len)
        job.feed()
    assert job.outcome() == (True, [1000] * 50)


def test_an_answer_wakes_who_can_send_the_next_piece() -> None:
    # Whoever handed it over may be the supervisor, which sends nothing.
    engine = FakeEngine(workers=1)
    job = engine.start_map(range(10), 1)
    assert engine.channel.woken == []
    engine.answer_one()
    assert engine.channel.woken == [job, engine.attendant]


def test_a_part_of_an_answer_is_unpickled_while_the_rest_is_run() -> None:
    engine = FakeEngine(workers=1)
    job = engine.start_map(range(4), 4)
    engine.claim()
    for item in range(2):
        engine.channel.begin(0)
        engine.channel.finish(0, item)
    engine.channel.flush(0)
    engine.collect()
    job.absorb()
    assert job._values[:2] == [0, 1]
    assert job.settled == 2
    assert job.answer is None
    engine.run()
    engine.collect()
    assert job.outcome() == (True, [0, 1, 2, 3])


@pytest.mark.parametrize("retries", [0, 1])
def test_the_list_of_the_caller_is_his_when_he_has_it(retries: int) -> None:
    # Another thread may be unpickling the same batch: it must not write into the list later.
    engine = FakeEngine(workers=2)
    job = engine.start_map(range(2), 2, Options(retries=retries))
    engine.claim()
    fails = {1} if retries else set()

    def run(item: int) -> int:
        if item in fails:
            fails.remove(item)
            raise ValueError(item)
        return item

    engine.run(run)
    engine.collect()
    (batch,) = job._arrived
    while engine.ring:
        engine.answer_one()
    _, values = job.outcome()
    assert values == [0, 1]
    values[0] = "mine"
    job._put(batch, *batch.decode())
    assert job.outcome() == (True, ["mine", 1])


def test_the_first_error_is_the_outcome_and_all_pieces_run() -> None:
    engine = FakeEngine(workers=1)
    job = engine.start_map(range(10), 1)
    starts = []
    while job.answer is None:
        record = engine.claim()
        starts.append(record.start)
        if record.start in (3, 6):
            engine.die_at(record.start)
        else:
            engine.run()
        engine.collect()
        job.absorb()
        job.feed()
    assert starts == list(range(10))
    success, error = job.outcome()
    assert not success
    assert isinstance(error, WorkerDied)
    assert error.item == 3


def test_behind_an_error_nothing_of_the_same_piece_is_run() -> None:
    engine = FakeEngine(workers=1)
    job = engine.start_map(range(6), 3)
    ran = []

    def run(item: int) -> None:
        ran.append(item)
        if item == 1:
            raise KeyError(item)

    while engine.ring:
        engine.answer_one(function=run)
    assert ran == [0, 1, 3, 4, 5]
    assert isinstance(job.outcome()[1], KeyError)


@pytest.mark.parametrize("errors", ["raise", "return", "skip", "group"])
def test_a_piece_that_can_not_be_pickled_is_an_error_of_its_items(errors: Any) -> None:
    engine = FakeEngine(workers=1)
    job = engine.start_map([1, engine.lock, 3], 1, Options(errors=errors))
    engine.wait(job)
    success, value = job.outcome()
    if errors == "raise":
        assert not success
        assert isinstance(value, TypeError)
    elif errors == "group":
        assert [type(error) for error in value.exceptions] == [TypeError]
    elif errors == "skip":
        assert value == [1, 3]
    else:
        assert [value[0], type(value[1]), value[2]] == [1, TypeError, 3]


def test_nothing_is_cut_before_there_is_room() -> None:
    engine = FakeEngine(workers=2, room=0)
    job = engine.start_map(range(100), 10)
    assert not job.all_sent
    engine.channel.room = 1
    job.feed()
    assert [record.start for record in engine.ring] == [0]


@pytest.mark.parametrize("error", [None, RuntimeError("over")])
def test_abandoned_it_sends_no_more(error: Exception | None) -> None:
    engine = FakeEngine(workers=1, room=2)
    job = engine.start_map(range(100), 1)
    engine.answer_one()
    job.abandon(error)
    job.feed()
    while engine.ring:
        engine.answer_one()
    job.feed()
    assert job.answer
    if error is not None:
        assert job.outcome() == (False, error)


def test_abandoned_behind_its_last_piece_it_is_whole() -> None:
    engine = FakeEngine(workers=2)
    job = engine.start_map(range(2), 1)
    job.abandon(RuntimeError("too late"))
    while engine.ring:
        engine.answer_one()
    assert job.outcome() == (True, [0, 1])


@pytest.mark.parametrize("items", [[], (), range(0), iter([])])
def test_without_items_it_is_complete_at_once(items: Any) -> None:
    engine = FakeEngine()
    job = engine.start_map(items)
    assert job.answer
    assert job.outcome() == (True, [])
    assert job.outcome()[1] is not engine.start_map([]).outcome()[1]


@pytest.mark.parametrize("hint", [0, 3, 10, 1 << 60])
def test_a_wrong_hint_of_the_length_does_no_harm(hint: int) -> None:
    class Items:
        def __iter__(self) -> Iterator[int]:
            return iter(range(5))

        def __length_hint__(self) -> int:
            return hint

    engine = FakeEngine()
    job = engine.start_map(Items(), None, Options(errors="skip"))
    engine.wait(job)
    assert job.outcome() == (True, [0, 1, 2, 3, 4])


def test_the_error_of_the_input_is_raised_where_it_is_pulled() -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise KeyError("input")

    engine = FakeEngine(workers=1)
    with pytest.raises(KeyError, match="input"):
        engine.wait(engine.start_map(items()))


def test_a_callback_comes_before_the_answer() -> None:
    engine = FakeEngine(workers=2)
    seen: list[tuple[Any, Any]] = []
    jobs: list[MapJob] = []
    job = engine.start_map(
        range(4), 2, callback=lambda values: seen.append((values, jobs[0].answer))
    )
    jobs.append(job)
    while engine.ring:
        engine.answer_one()
        job.feed()
    assert job.answer is None
    for calling in engine.attendant.due * 2:  # told twice, called once
        calling.call_back(cast("Engine", engine))
    assert seen == [([0, 1, 2, 3], None)]
    assert job.answer
    assert not engine.with_callbacks


def test_a_callback_that_raises_completes_the_job() -> None:
    engine = FakeEngine(workers=2)

    def fail(_: object) -> None:
        raise KeyError("mine")

    job = engine.start_map(range(1), 1, callback=fail)
    engine.answer_one()
    with pytest.raises(KeyError, match="mine"):
        job.call_back(cast("Engine", engine))
    assert job.answer


class _Exits:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return exit, (3,)


def test_results_that_exit_when_unpickled_are_an_error() -> None:
    engine = FakeEngine(workers=2)
    seen: list[Any] = []
    job = engine.start_map([1], 1, error_callback=seen.append)
    engine.answer_one(function=lambda _: _Exits())
    job.call_back(cast("Engine", engine))
    assert [type(error) for error in seen] == [SystemExit]
    assert job.answer


def test_an_input_whose_closing_fails_is_given_up_all_the_same() -> None:
    def items() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            raise KeyError("closing")

    engine = FakeEngine(workers=1)
    engine.functions.is_known = False
    job = engine.start_map(items(), 1)
    with pytest.raises(KeyError, match="closing"):
        job.cancel()
    assert job.answer
    assert isinstance(job.outcome()[1], CancelledError)
    assert not engine.functions.own


@pytest.mark.parametrize("known", [True, False])
def test_a_function_that_is_published_for_the_call_is_freed_with_it(known: bool) -> None:
    engine = FakeEngine()
    engine.functions.is_known = known
    job = engine.start_map(range(20), 1)
    assert len(engine.functions.own) == (0 if known else 1)
    engine.wait(job)
    assert job.outcome() == (True, list(range(20)))
    assert engine.functions.own == []


def test_counts_tell_how_far_the_workers_are() -> None:
    engine = FakeEngine(workers=1)
    job = engine.start_map(range(6), 3, PLAIN)
    engine.claim()
    engine.channel.begin(0)
    engine.channel.finish(0, 0)
    engine.channel.begin(0)
    assert job.counts()[:4] == (1, 0, 0, 1)
    engine.channel.finish(0, 1)
    engine.channel.flush(0)
    engine.collect()
    assert job.counts()[:4] == (2, 0, 0, 0)
