"""What becomes of tasks that did not go well: deaths, retries, cancelling, the end of the pool."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from concurrent.futures import CancelledError
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procession import _core
from procession._codec import messages
from procession._codec.exceptions import encode_exception
from procession._engine.entries import Task
from procession._engine.options import PLAIN, Options
from procession._engine.policy import (
    QUARANTINE,
    Ended,
    Failure,
    Fate,
    Held,
    History,
    PoolState,
    Verdict,
    after_failure,
)
from procession.errors.pool import PoolTerminated, TaskTimeout, WorkerDied
from tests.engine.engines import INLINE, FakeEngine

LARGE = bytes(2 * INLINE)


@pytest.fixture(autouse=True, scope="module")
def _blocks_as_in_the_fake() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_core, "INLINE_LIMIT", INLINE)
        yield


def _submit(engine: FakeEngine, options: Options = PLAIN, argument: Any = 7, **calls: Any) -> Task:
    task = Task(None, abs, options)
    task.set_callbacks(calls.get("callback"), calls.get("error_callback"))
    engine.submit(task, (argument,), {})
    return task


def _answer(engine: FakeEngine, outcome: Any, seat: int = 0) -> None:
    """The worker that has a task answers it."""
    if isinstance(outcome, BaseException):
        engine.channel.answer_whole(seat, messages.ERROR, encode_exception(outcome))
    else:
        engine.channel.answer_whole(seat, messages.VALUE, pickle.dumps(outcome))
    engine.collect()


@pytest.mark.parametrize("argument", [7, LARGE])
def test_a_task_that_was_not_started_is_sent_again_and_again(argument: Any) -> None:
    engine = FakeEngine()
    task = _submit(engine, argument=argument)
    for _ in range(10):
        engine.channel.claim(0, started=False)
        assert engine.bury(0, Ended(1, -9)) is Held.UNSTARTED
    claim = engine.channel.claim(0)
    assert claim.items == ((argument,), {})
    _answer(engine, 3)
    assert task.outcome() == (True, 3)
    engine.assert_clean()


def test_who_held_nothing_owes_nothing() -> None:
    engine = FakeEngine()
    assert engine.bury(0, Ended(1, -9)) is Held.NOTHING
    task = _submit(engine)
    engine.channel.claim(0)
    engine.channel.results.append((task.number, messages.VALUE, pickle.dumps(1), 1, 0, 1))
    engine.collect()
    assert engine.bury(0, Ended(1, -9)) is Held.NOTHING
    assert task.outcome() == (True, 1)


@given(
    options=st.builds(
        Options,
        retries=st.integers(0, 4),
        on_death=st.sampled_from([None, "fail", "retry"]),
        timeout=st.just(2.5),
    ),
    failures=st.lists(st.sampled_from(Failure), max_size=8),
    argument=st.sampled_from([7, LARGE]),
    twice=st.booleans(),
    called_back=st.booleans(),
)
def test_a_task_is_run_again_as_often_as_the_policy_says(
    options: Options,
    failures: list[Failure],
    argument: Any,
    twice: bool,
    called_back: bool,
) -> None:
    engine = FakeEngine()
    engine.channel.tells_twice = twice
    seen: list[Any] = []
    calls = {"callback": seen.append, "error_callback": seen.append} if called_back else {}
    task = _submit(engine, options, argument, **calls)
    runs = deaths = 0
    failure: Failure | None
    for failure in failures:
        claim = engine.channel.claim(0)
        assert claim.items == ((argument,), {})
        runs += 1
        deaths += failure is Failure.DIED
        if failure is Failure.RAISED:
            _answer(engine, KeyError(runs))
        else:
            engine.die(0, Fate.TIMED_OUT if failure is Failure.TIMED_OUT else Fate.DIED)
        verdict = after_failure(failure, History(runs, deaths), options).verdict
        if verdict is Verdict.FAIL:
            break
        assert len(engine.ring) == 1
        assert task.answer is None
    else:
        failure = None
        engine.channel.claim(0)
        _answer(engine, runs)
    assert not engine.channel.ring
    if called_back:
        for calling in engine.attendant.due * 2:
            calling.call_back(engine)
        assert len(seen) == 1
    success, value = task.outcome()
    if failure is None:
        assert (success, value) == (True, runs)
    elif failure is Failure.RAISED:
        assert type(value) is KeyError
        assert value.args == (runs,)
    elif failure is Failure.TIMED_OUT:
        assert type(value) is TaskTimeout
        assert value.timeout == 2.5
    else:
        assert type(value) is WorkerDied
        assert value.attempts == runs
        is_retried = (options.on_death or "retry") == "retry" and options.retries > 0
        is_retried |= options.on_death == "retry"
        assert value.quarantined == (is_retried and deaths >= QUARANTINE)
    engine.assert_clean()


def test_what_a_task_went_through_goes_with_it() -> None:
    engine = FakeEngine()
    task = _submit(engine, Options(on_death="retry"))
    engine.channel.claim(0)
    engine.die()
    engine.channel.claim(0)
    _answer(engine, 1)
    assert task.outcome() == (True, 1)
    del task
    assert not engine.settler._trials


def test_a_death_breaks_the_pool_where_that_is_asked_for() -> None:
    engine = FakeEngine()
    task, other = _submit(engine, Options(on_death="break")), _submit(engine)
    engine.channel.claim(0)
    engine.die()
    assert engine.state is PoolState.BROKEN
    assert isinstance(task.outcome()[1], WorkerDied)
    engine.fail_all()
    error = other.outcome()[1]
    assert isinstance(error.__cause__, WorkerDied)
    with pytest.raises(type(error)):
        _submit(engine)


@pytest.mark.parametrize("state", [PoolState.BROKEN, PoolState.TERMINATING])
def test_in_a_pool_that_is_over_nothing_is_sent_again(state: PoolState) -> None:
    engine = FakeEngine()
    tasks = [_submit(engine, Options(retries=5)), _submit(engine)]
    engine.channel.claim(0)
    engine.channel.claim(1, started=False)
    engine.state = state
    engine.die(0)
    engine.die(1)
    assert not engine.ring
    assert all(task.answer for task in tasks)
    engine.assert_clean()


# ---- cancelling


@pytest.mark.parametrize("argument", [7, LARGE])
def test_a_task_in_the_ring_is_taken_out_of_it(argument: Any) -> None:
    engine = FakeEngine()
    task = _submit(engine, argument=argument)
    assert engine.cancel(task)
    assert isinstance(task.outcome()[1], CancelledError)
    assert not engine.cancel(task)
    assert engine.supervisor.killed == []
    engine.assert_clean()


def test_a_task_that_waits_for_room_is_taken_out_of_the_queue() -> None:
    engine = FakeEngine(room=1)
    first, second = _submit(engine), _submit(engine)
    assert engine.cancel(second)
    assert isinstance(second.outcome()[1], CancelledError)
    engine.channel.claim(0)
    _answer(engine, 1)
    assert first.outcome() == (True, 1)
    engine.assert_clean()


@pytest.mark.parametrize("argument", [7, LARGE])
def test_a_task_that_runs_is_cancelled_with_its_worker(argument: Any) -> None:
    engine = FakeEngine()
    task = _submit(engine, Options(retries=3), argument)
    engine.channel.claim(1)
    assert engine.cancel(task)
    assert engine.supervisor.killed == [(1, Fate.CANCELLED)]
    engine.die(1, Fate.CANCELLED)
    assert isinstance(task.outcome()[1], CancelledError)
    engine.assert_clean()


@pytest.mark.parametrize("is_collected", [True, False])
def test_a_task_that_is_answered_can_not_be_cancelled(is_collected: bool) -> None:
    engine = FakeEngine()
    task = _submit(engine)
    engine.channel.claim(0)
    engine.channel.answer_whole(0, messages.VALUE, pickle.dumps(1))
    if is_collected:
        engine.collect()
    assert not engine.cancel(task)
    assert task.outcome() == (True, 1)


def test_a_task_whose_callback_is_due_can_not_be_cancelled() -> None:
    engine = FakeEngine()
    seen: list[Any] = []
    task = _submit(engine, callback=seen.append)
    engine.channel.claim(0)
    _answer(engine, 1)
    assert not engine.cancel(task)
    (calling,) = engine.attendant.due
    calling.call_back(engine)
    assert seen == [1]


def test_all_can_be_cancelled_but_what_workers_are_at_or_about_to_take() -> None:
    engine = FakeEngine(workers=2, room=3)
    tasks = [_submit(engine) for _ in range(6)]
    engine.channel.claim(0)
    engine.collect()
    assert len(engine.open) == 4
    engine.cancel_waiting()
    assert [task.answer is None for task in tasks] == [True, True, False, False, False, False]
    for task in tasks[2:]:
        assert isinstance(task.outcome()[1], CancelledError)
    _answer(engine, 1)
    engine.channel.claim(0)
    _answer(engine, 2)
    assert [task.outcome() for task in tasks[:2]] == [(True, 1), (True, 2)]
    engine.assert_clean()


# ---- the end


def test_at_the_end_everything_gets_its_error() -> None:
    engine = FakeEngine(room=2)
    tasks = [_submit(engine, argument=LARGE) for _ in range(4)]
    engine.channel.claim(0)
    engine.state = PoolState.TERMINATING
    engine.fail_all()
    for task in tasks:
        assert isinstance(task.outcome()[1], PoolTerminated)
    assert not engine.channel.blocks
    assert engine.is_idle


def test_who_comes_behind_the_end_gets_its_error_too() -> None:
    engine = FakeEngine()
    task = _submit(engine)
    job = engine.start_map(range(4), 1)
    engine.open.clear()  # they came in behind the last look
    engine.state = PoolState.TERMINATING
    engine._finished = True
    engine.settler.fail_latecomer(task)
    engine.settler.fail_latecomer(job)
    assert isinstance(task.outcome()[1], PoolTerminated)
    engine.feeder.feed_jobs()


# ---- room for tasks


def test_tasks_wait_where_too_many_are_under_way() -> None:
    engine = FakeEngine()
    options = Options(max_in_flight=2)
    most = 0

    def work() -> None:
        nonlocal most
        most = max(most, len(engine.open))
        engine.channel.claim(0)
        _answer(engine, 0)

    engine.channel.when_waiting = work
    tasks = [_submit(engine, options) for _ in range(6)]
    assert most == 2
    while engine.ring:
        work()
    assert all(task.answer for task in tasks)


@pytest.mark.parametrize("retries", [0, 1])
def test_tasks_wait_where_too_many_bytes_are_under_way(retries: int) -> None:
    engine = FakeEngine()
    options = Options(max_bytes=5 * INLINE, retries=retries)

    def work() -> None:
        assert engine.bytes_under_way <= 5 * INLINE
        engine.channel.claim(0)
        _answer(engine, 0)

    engine.channel.when_waiting = work
    tasks = [_submit(engine, options, LARGE) for _ in range(6)]
    while engine.ring:
        work()
    assert all(task.answer for task in tasks)
    assert engine.bytes_under_way == 0


def test_one_that_is_too_large_by_itself_goes_alone() -> None:
    engine = FakeEngine()
    options = Options(max_bytes=1)

    def work() -> None:
        engine.channel.claim(0)
        _answer(engine, 0)

    engine.channel.when_waiting = work
    _submit(engine, options, LARGE)
    assert len(engine.ring) == 1
    _submit(engine, options, LARGE)
    assert len(engine.ring) == 1
