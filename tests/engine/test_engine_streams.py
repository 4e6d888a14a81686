"""StreamJob: bounded look-ahead, order, and one outcome for each item, whatever comes when."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import CancelledError
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procession._engine.lookahead import FIRST_ITEMS_A_WORKER, ITEMS_A_WORKER
from procession._engine.options import PLAIN, Options
from procession._engine.policy import PoolState
from procession._engine.settling import LOADING
from procession._engine.streams import StreamJob
from procession.errors.pool import PoolTerminated, WorkerDied
from tests.engine.engines import FakeEngine
from tests.engine.schedules import Schedule, choices, value_of

UNORDERED = Options(ordered=False)

options_ = st.builds(
    Options,
    retries=st.integers(0, 3),
    on_death=st.sampled_from([None, "fail", "retry"]),
    errors=st.sampled_from(["raise", "return", "skip", "group"]),
    max_in_flight=st.none() | st.integers(1, 9),
    max_bytes=st.none() | st.integers(1, 2000),
    ordered=st.booleans(),
    timeout=st.just(1.0),
)


def _outcomes(job: StreamJob) -> Iterator[tuple[bool, Any]]:
    while True:
        try:
            outcome = job.next()
        except StopIteration:
            return
        assert outcome is not None
        yield outcome


def _values(job: StreamJob) -> list[Any]:
    return [value if success else type(value) for success, value in _outcomes(job)]


def _item_of(success: bool, value: Any, count: int) -> int:
    """Which item an outcome is that of."""
    if success and not isinstance(value, BaseException):
        for item in range(count):
            if value == value_of(item) and type(value) is type(value_of(item)):
                return item
    item = value.args[0] if type(value) is ValueError else value.item
    assert isinstance(item, int)
    return item


def _check(
    outcomes: list[tuple[bool, Any]], schedule: Schedule, count: int, options: Options
) -> list[int]:
    """All outcomes are right, and there is at most one of each item, in its place."""
    items = [_item_of(*outcome, count) for outcome in outcomes]
    for item, (success, value) in zip(items, outcomes, strict=True):
        is_value = success and not isinstance(value, BaseException)
        assert success or options.errors == "raise"
        assert schedule.is_right(item, is_value, value)
    assert len(set(items)) == len(items)
    if options.ordered:
        assert items == sorted(items)
    return items


@given(
    count=st.integers(0, 40),
    chunk_size=st.none() | st.integers(1, 9),
    workers=st.integers(1, 3),
    room=st.none() | st.integers(1, 4),
    twice=st.booleans(),
    options=options_,
    drawn=choices,
)
def test_each_item_has_its_one_outcome_whatever_happens_when(
    count: int,
    chunk_size: int | None,
    workers: int,
    room: int | None,
    twice: bool,
    options: Options,
    drawn: list[int],
) -> None:
    engine = FakeEngine(workers, room)
    engine.channel.tells_twice = twice
    schedule = Schedule(engine, drawn, options)
    job = engine.start_stream(iter(range(count)), chunk_size, options)
    outcomes: list[tuple[bool, Any]] = []
    errors: list[Exception] = []
    try:
        outcomes.extend(_outcomes(job))
    except ExceptionGroup as group:
        errors.extend(group.exceptions)
    assert not errors or options.errors == "group"
    failed = {_item_of(False, error, count) for error in errors}
    assert len(failed) == len(errors)
    items = _check(outcomes, schedule, count, options)
    if options.errors == "skip":
        assert set(items) == schedule.done
    else:
        assert {*items, *failed} == set(range(count))
        assert len(items) + len(failed) == count
    schedule.run_out()
    engine.assert_clean()
    assert not job._on_the_way
    assert (job._bytes_sent, job._bytes_here, job._ahead()) == (0, 0, 0)
    assert job.settled == count
    tried = engine.settler._trials.get(job, {})
    assert all(place <= LOADING for place in tried)


@given(
    count=st.integers(1, 40),
    chunk_size=st.none() | st.integers(1, 9),
    options=options_,
    consumed=st.integers(0, 10),
    moment=st.integers(0, 30),
    drawn=choices,
    how=st.sampled_from(["close", "abandon", "cancel waiting", "terminate"]),
)
def test_given_up_at_any_moment_it_is_over_and_begins_no_more(
    count: int,
    chunk_size: int | None,
    options: Options,
    consumed: int,
    moment: int,
    drawn: list[int],
    how: str,
) -> None:
    engine = FakeEngine(2)
    schedule = Schedule(engine, drawn, options)
    pulled = iter(range(count))
    job = engine.start_stream(pulled, chunk_size, options)
    outcomes: list[tuple[bool, Any]] = []
    error: BaseException | None = None
    begun = set(range(count))
    try:
        outcomes.extend(itertools.islice(_outcomes(job), consumed))
        for _ in range(moment):
            if not schedule.is_over:
                schedule.step()
        begun = schedule.begun
        _give_up(engine, job, how)
        outcomes.extend(_outcomes(job))
    except BaseException as raised:
        if isinstance(raised, AssertionError):
            raise
        error = raised
    if how == "close":
        schedule.run_out()
        assert len(schedule.begun - begun) <= engine.workers
    items = [
        _item_of(*outcome, count)
        for outcome in outcomes
        if not isinstance(outcome[1], (PoolTerminated, CancelledError, RuntimeError))
    ]
    assert len(set(items)) == len(items)
    schedule.run_out()
    engine.feeder.feed_jobs()
    engine.assert_clean()
    if options.errors == "skip" and error is None and how != "close":
        assert schedule.begun | schedule.unloadable == set(range(count))
    if error is not None and not isinstance(error, ExceptionGroup):
        expected = {"abandon": RuntimeError, "terminate": PoolTerminated}
        assert type(error) is expected.get(how, CancelledError)
    with pytest.raises(StopIteration):
        job.next()


def _give_up(engine: FakeEngine, job: StreamJob, how: str) -> None:
    if how == "close":
        job.close()
    elif how == "abandon":
        job.abandon(RuntimeError("over"))
    elif how == "cancel waiting":
        engine.cancel_waiting()
    else:
        engine.state = PoolState.TERMINATING
        engine.fail_all()


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("chunk_size", [None, 1, 5])
@pytest.mark.parametrize("consumed", [0, 10])
def test_an_endless_input_is_pulled_so_far_and_no_further(
    ordered: bool, chunk_size: int | None, consumed: int
) -> None:
    engine = FakeEngine(workers=2)
    # Nanoseconds that a piece took: nothing is joined into one.
    engine.channel.when_waiting = lambda: _answer_slowly(engine)
    pulled = itertools.count()
    job = engine.start_stream(pulled, chunk_size, Options(ordered=ordered))
    for _ in range(consumed):
        assert job.next() is not None
    while engine.ring:
        _answer_slowly(engine)
        job.feed()
    at_rest = next(pulled)
    chunk = chunk_size or 1
    bound = (min(ITEMS_A_WORKER, FIRST_ITEMS_A_WORKER + consumed) * 2 + 2) * chunk
    assert at_rest <= bound + consumed
    for _ in range(3):
        job.feed()
    assert next(pulled) == at_rest + 1  # nobody consumes: nobody pulls


def _answer_slowly(engine: FakeEngine) -> None:
    engine.claim()
    claim = engine.channel.claims[0]
    while claim.begun < claim.end:
        engine.channel.finish(0, engine.channel.begin(0))
    engine.channel.answer(0, taken=1_000_000_000)
    engine.collect()


def test_look_ahead_is_bounded_by_bytes() -> None:
    engine = FakeEngine(workers=2)
    pulled: list[int] = []

    def large() -> Iterator[bytes]:
        for x in itertools.count():
            pulled.append(x)
            yield bytes(40 << 20)

    engine.start_stream(large())
    assert len(pulled) == 2 * engine.workers  # so many there must be, lest a worker idles


def test_a_bound_of_items_does_not_lift_that_of_bytes() -> None:
    engine = FakeEngine(workers=2)
    pulled: list[int] = []

    def items() -> Iterator[bytes]:
        for x in itertools.count():
            pulled.append(x)
            yield bytes(1000)

    engine.start_stream(items(), 1, Options(max_in_flight=100, max_bytes=9500))
    assert len(pulled) == 10
    pulled.clear()
    engine.start_stream(items(), 1, Options(max_in_flight=3, max_bytes=9500))
    assert len(pulled) == 3


def test_items_that_are_tried_again_do_not_lift_the_bound_of_bytes() -> None:
    engine = FakeEngine(workers=1)
    items = (bytes(1000) for _ in itertools.count())
    job = engine.start_stream(items, 1, Options(retries=1, max_bytes=4000))

    turns = itertools.count()

    def fail_every_other_time(_: object) -> None:
        if next(turns) % 2 == 0:
            raise ValueError

    for _ in range(40):
        job.feed()
        sent = sum(piece.size for piece in job._on_the_way)
        assert job._bytes_sent == sent
        assert sent <= 6000
        engine.answer_one(function=fail_every_other_time)
        job.next(0)


@pytest.mark.parametrize("chunk_size", [None, 1, 7])
@pytest.mark.parametrize("limit", [1, 5, 20])
def test_never_more_items_are_under_way_than_asked_for(chunk_size: int | None, limit: int) -> None:
    engine = FakeEngine(workers=2)
    pulled = itertools.count()
    job = engine.start_stream(pulled, chunk_size, Options(max_in_flight=limit))
    for consumed in range(50):
        assert job._source.taken - consumed <= limit
        assert job.next() == (True, consumed)


def test_nothing_is_pulled_at_once_again_when_the_ring_is_full() -> None:
    engine = FakeEngine(workers=2, room=3)
    pulled = itertools.count()
    job = engine.start_stream(pulled, 1)
    assert next(pulled) == 4  # three in the ring, and one that is ready to be sent
    for _ in range(5):
        job.feed()
    assert next(pulled) == 5


def test_tiny_items_travel_together() -> None:
    engine = FakeEngine(workers=2)
    sizes = []

    def answer() -> None:
        record = engine.claim()
        sizes.append(record.end - record.first)
        engine.run()
        engine.collect()

    engine.channel.when_waiting = answer
    job = engine.start_stream(iter(range(5000)))
    assert _values(job) == list(range(5000))
    assert sizes[0] == 1
    assert max(sizes) > 30


def test_where_tasks_are_counted_each_item_travels_alone() -> None:
    engine = FakeEngine(workers=2)
    engine.counts_tasks = True
    job = engine.start_stream(iter(range(100)))
    for x in range(100):
        assert all(piece.end - piece.first == 1 for piece in engine.ring)
        assert job.next() == (True, x)


@pytest.mark.parametrize("ordered", [True, False])
def test_an_answer_that_is_told_twice_counts_once(ordered: bool) -> None:
    engine = FakeEngine(workers=2)
    engine.channel.tells_twice = True
    job = engine.start_stream(range(6), None, Options(ordered=ordered))
    assert _values(job) == list(range(6))


def test_parts_of_an_answer_are_consumed_while_the_rest_is_run() -> None:
    engine = FakeEngine(workers=1)
    job = engine.start_stream(range(4), 4)
    engine.claim()
    for item in range(2):
        engine.channel.begin(0)
        engine.channel.finish(0, item)
        engine.channel.flush(0)
    assert [job.next(), job.next()] == [(True, 0), (True, 1)]
    assert job.next(0) is None
    engine.run()
    assert [job.next(), job.next()] == [(True, 2), (True, 3)]
    with pytest.raises(StopIteration):
        job.next()


def test_the_error_of_the_input_comes_behind_what_was_pulled() -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise KeyError("input")

    engine = FakeEngine(workers=2)
    job = engine.start_stream(items())
    for x in range(5):
        assert job.next() == (True, x)
    with pytest.raises(KeyError, match="input"):
        job.next()
    with pytest.raises(StopIteration):
        job.next()
    engine.assert_clean()


def test_an_item_that_can_not_be_pickled_has_its_error() -> None:
    engine = FakeEngine(workers=2)
    lock = engine.lock  # no lock can be pickled
    job = engine.start_stream([1, lock, 3], 1)
    assert _values(job) == [1, TypeError, 3]


@pytest.mark.parametrize("errors", ["raise", "return", "skip", "group"])
def test_what_becomes_of_errors_is_for_the_caller_to_say(errors: Any) -> None:
    engine = FakeEngine(workers=1)

    def run(item: int) -> int:
        if item % 2:
            raise ValueError(item)
        return item

    engine.channel.when_waiting = lambda: engine.answer_one(function=run)
    job = engine.start_stream(range(4), 2, Options(errors=errors))
    seen: list[Any] = []
    try:
        seen.extend((success, getattr(value, "args", value)) for success, value in _outcomes(job))
    except ExceptionGroup as group:
        seen.append([error.args[0] for error in group.exceptions])
    good = [(True, 0), (True, 2)]
    expected: dict[str, list[Any]] = {
        "raise": [(True, 0), (False, (1,)), (True, 2), (False, (3,))],
        "return": [(True, 0), (True, (1,)), (True, 2), (True, (3,))],
        "skip": good,
        "group": [*good, [1, 3]],
    }
    assert seen == expected[errors]


def test_abandoned_it_ends_with_that_error() -> None:
    engine = FakeEngine(workers=2, room=2)
    job = engine.start_stream(itertools.count(), 1)
    while engine.ring:
        engine.answer_one()
    job.abandon(RuntimeError("over"))
    assert job.next() == (True, 0)
    assert job.next() == (True, 1)
    with pytest.raises(RuntimeError, match="over"):
        job.next()
    with pytest.raises(StopIteration):
        job.next()


def test_next_looks_once_even_without_time() -> None:
    engine = FakeEngine(workers=2)
    job = engine.start_stream(range(3))
    engine.answer_one()
    assert job.next(0) == (True, 0)
    engine.channel.when_waiting = lambda: None
    assert job.next(0) is None
    assert job.next(-1) is None


def test_an_engine_that_has_ended_ends_the_iteration() -> None:
    engine = FakeEngine(workers=2)
    job = engine.start_stream(range(100))

    def end() -> None:
        engine._finished = True

    engine.channel.when_waiting = end
    with pytest.raises(PoolTerminated):
        job.next()
    with pytest.raises(StopIteration):
        job.next()


def test_a_closing_pool_looks_ahead_without_bounds() -> None:
    engine = FakeEngine(workers=1)
    job = engine.start_stream(iter(range(1000)), 1)
    engine.state = PoolState.CLOSING
    while engine.open:
        engine.finish_closing()
        engine.answer_one()
    assert not engine.streams
    assert _values(job) == list(range(1000))


@pytest.mark.parametrize("options", [PLAIN, UNORDERED])
def test_closed_half_way_it_closes_its_input(options: Options) -> None:
    closed = []

    def items() -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            closed.append(True)

    engine = FakeEngine(workers=2)
    engine.functions.is_known = False
    job = engine.start_stream(items(), 1, options)
    assert job.next() == (True, 0)
    job.close()
    assert closed == [True]
    job.close()
    with pytest.raises(StopIteration):
        job.next()
    engine.assert_clean()


def test_an_input_whose_closing_fails_is_given_up_all_the_same() -> None:
    def items() -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            raise KeyError("closing")

    engine = FakeEngine(workers=2)
    engine.functions.is_known = False
    job = engine.start_stream(items())
    with pytest.raises(KeyError, match="closing"):
        job.close()
    with pytest.raises(StopIteration):
        job.next()
    engine.assert_clean()


def test_a_death_is_that_of_its_item_alone() -> None:
    engine = FakeEngine(workers=2)
    job = engine.start_stream(range(4), 4)
    engine.claim()
    engine.die_at(1)
    assert _values(job) == [0, WorkerDied, 2, 3]
