"""MapJob: cut late, sent a few at a time, put together in order."""

from __future__ import annotations

import pickle
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procession._codec import messages
from procession._codec.objects import loads_items
from procession._engine.engine import Engine
from procession._engine.maps import CHUNKS_A_WORKER, MapJob
from procession.errors.pool import WorkerDied
from tests.engine.engines import FakeEngine


def _job(
    engine: FakeEngine, items: Any, chunk_size: int | None = None, callback: Any = None
) -> MapJob:
    job = MapJob(cast("Engine", engine), messages.MAP, abs, items, chunk_size, callback)
    job.feed()
    return job


@given(
    count=st.integers(0, 200),
    chunk_size=st.none() | st.integers(1, 50),
    workers=st.integers(1, 4),
    room=st.integers(1, 5),
    as_list=st.booleans(),
    data=st.data(),
)
def test_values_are_in_order_however_answers_come(
    count: int,
    chunk_size: int | None,
    workers: int,
    room: int,
    as_list: bool,
    data: st.DataObject,
) -> None:
    engine = FakeEngine(workers, room)
    items: Any = list(range(count)) if as_list else range(count)
    job = _job(engine, items, chunk_size)
    while job.answer is None:
        assert len(engine.ring) <= CHUNKS_A_WORKER * workers
        record = engine.take(data.draw(st.integers(0, len(engine.ring) - 1)))
        taken = data.draw(st.integers(0, 10_000_000))
        engine.give(record, messages.VALUE, pickle.dumps(list(loads_items(record.payload))), taken)
        if data.draw(st.booleans()):
            job.absorb()
        job.feed()
    assert job.outcome() == (True, list(range(count)))
    assert job.all_sent
    assert not engine.ring


def test_an_answer_wakes_who_can_send_the_next_chunk() -> None:
    # Whoever handed it over may be the supervisor, which sends nothing.
    engine = FakeEngine(workers=1)
    job = _job(engine, range(10), chunk_size=1)
    assert engine.channel.woken == []
    record = engine.take()
    engine.give(record, messages.VALUE, pickle.dumps([0]))
    assert engine.channel.woken == [job, engine.attendant]


def test_an_answer_that_is_told_twice_counts_once() -> None:
    engine = FakeEngine(workers=2)
    job = _job(engine, range(8), 2)
    while engine.ring:
        record = engine.take()
        payload = pickle.dumps(list(loads_items(record.payload)))
        for _ in range(2):
            record.arrive(engine, messages.VALUE, payload, 1)
        job.feed()
    assert job.outcome() == (True, list(range(8)))


def test_the_list_of_the_caller_is_his_when_he_has_it() -> None:
    # Another thread may be unpickling the same chunk: it must not write into the list later.
    engine = FakeEngine(workers=2)
    job = _job(engine, range(2), 2)
    record = engine.take()
    payload = pickle.dumps([0, 1])
    record.arrive(engine, messages.VALUE, payload, 1)
    _, values = job.outcome()
    values[0] = "mine"
    record.arrive(engine, messages.VALUE, payload, 1)
    job.absorb()
    assert job.outcome() == (True, ["mine", 1])


def test_the_first_error_is_the_outcome_and_all_chunks_run() -> None:
    engine = FakeEngine(workers=1)
    job = _job(engine, range(10), 1)
    starts = []
    while job.answer is None:
        record = engine.take()
        starts.append(record.start)
        if record.start in (3, 6):
            engine.die_at(record, 0)
        else:
            engine.answer(record, lambda x: x)
        job.absorb()
        job.feed()
    assert starts == list(range(10))
    success, error = job.outcome()
    assert not success
    assert isinstance(error, WorkerDied)
    assert error.item == 3


def test_a_chunk_that_can_not_be_pickled_is_an_error_of_the_call() -> None:
    engine = FakeEngine(workers=1)
    job = _job(engine, [1, engine.lock, 3], 1)
    while job.answer is None:
        engine.answer_one()
        job.feed()
    success, error = job.outcome()
    assert not success
    assert isinstance(error, TypeError)


def test_nothing_is_cut_before_there_is_room() -> None:
    engine = FakeEngine(workers=2, room=0)
    job = _job(engine, range(100), 10)
    assert not job.all_sent
    engine.room = 1
    job.feed()
    assert [record.start for record in engine.ring] == [0]


@pytest.mark.parametrize("error", [None, RuntimeError("over")])
def test_abandoned_it_sends_no_more(error: Exception | None) -> None:
    engine = FakeEngine(workers=1, room=2)
    job = _job(engine, range(100), 1)
    engine.answer_one()
    job.abandon(error)
    job.feed()
    while engine.ring:
        engine.answer_one()
    job.feed()
    assert job.answer
    if error is not None:
        assert job.outcome() == (False, error)


def test_abandoned_behind_its_last_chunk_it_is_whole() -> None:
    engine = FakeEngine(workers=2)
    job = _job(engine, range(2), 1)
    job.abandon(RuntimeError("too late"))
    while engine.ring:
        engine.answer_one()
    assert job.outcome() == (True, [0, 1])


def test_without_items_it_is_complete_at_once() -> None:
    engine = FakeEngine()
    job = _job(engine, [])
    assert job.answer
    assert job.outcome() == (True, [])
    assert job.outcome()[1] is not _job(engine, []).outcome()[1]


def test_a_callback_comes_before_the_answer() -> None:
    engine = FakeEngine(workers=2)
    seen: list[tuple[Any, Any]] = []
    jobs: list[MapJob] = []
    job = _job(engine, range(4), 2, lambda values: seen.append((values, jobs[0].answer)))
    jobs.append(job)
    while engine.ring:
        engine.answer_one()
        job.feed()
    assert job.answer is None
    for calling in engine.attendant.due * 2:  # told twice, called once
        calling.call_back(cast("Engine", engine))
    assert seen == [([0, 1, 2, 3], None)]
    assert job.answer


def test_a_callback_that_raises_completes_the_job() -> None:
    engine = FakeEngine(workers=2)

    def fail(_: object) -> None:
        raise KeyError("mine")

    job = _job(engine, range(1), 1, fail)
    engine.answer_one()
    with pytest.raises(KeyError, match="mine"):
        job.call_back(cast("Engine", engine))
    assert job.answer


def test_results_that_exit_when_unpickled_are_an_error() -> None:
    engine = FakeEngine(workers=2)
    seen: list[Any] = []
    job = MapJob(cast("Engine", engine), messages.MAP, abs, [1], 1, None, seen.append)
    job.feed()
    engine.give(engine.take(), messages.VALUE, b"\x80\x05csys\nexit\n(I3\ntR.")
    job.call_back(cast("Engine", engine))
    assert [type(error) for error in seen] == [SystemExit]
    assert job.answer
