"""StreamJob: bounded look-ahead, order, and one outcome for each item, whatever comes when."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Iterator
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procession._codec import messages
from procession._codec.objects import loads_items
from procession._engine.engine import Engine
from procession._engine.streams import PIECES_A_WORKER, StreamJob
from procession.errors.pool import WorkerDied
from tests.engine.engines import FakeEngine


def _job(engine: FakeEngine, items: Any, chunk_size: int = 1, *, ordered: bool = True) -> StreamJob:
    job = StreamJob(cast("Engine", engine), abs, items, chunk_size, ordered)
    engine.streams.add(job)
    job.pull()
    return job


def _values(job: StreamJob) -> Iterator[Any]:
    while True:
        try:
            outcome = job.next()
        except StopIteration:
            return
        assert outcome is not None
        success, value = outcome
        yield value if success else type(value)


@given(
    count=st.integers(0, 80),
    chunk_size=st.integers(1, 9),
    workers=st.integers(1, 3),
    room=st.integers(1, 6),
    ordered=st.booleans(),
    data=st.data(),
)
def test_every_item_has_its_outcome_however_answers_come(
    count: int, chunk_size: int, workers: int, room: int, ordered: bool, data: st.DataObject
) -> None:
    engine = FakeEngine(workers, room)
    job = _job(engine, iter(range(count)), chunk_size, ordered=ordered)

    def answer_any() -> None:
        if engine.ring:
            engine.answer_one(data.draw(st.integers(0, len(engine.ring) - 1)))

    engine.when_waiting = answer_any
    values = list(_values(job))
    assert sorted(values) == list(range(count))
    if ordered:
        assert values == sorted(values)
    assert not engine.ring
    assert job not in engine.streams


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("chunk_size", [1, 5])
@pytest.mark.parametrize("consumed", [0, 10, 1000])
def test_an_endless_input_is_pulled_so_far_and_no_further(
    ordered: bool, chunk_size: int, consumed: int
) -> None:
    engine = FakeEngine(workers=2)
    pulled = itertools.count()
    job = _job(engine, pulled, chunk_size, ordered=ordered)
    for _ in range(consumed):
        assert job.next() is not None
        ahead = next(pulled)
        assert ahead <= (consumed + 2 * PIECES_A_WORKER * 2) * chunk_size + consumed
        break
    while engine.ring:
        engine.answer_one()
    at_rest = next(pulled)
    assert next(pulled) == at_rest + 1  # nobody consumes: nobody pulls
    assert at_rest <= (2 * PIECES_A_WORKER + 2) * chunk_size


def test_look_ahead_is_bounded_by_bytes() -> None:
    engine = FakeEngine(workers=2)
    pulled: list[int] = []

    def large() -> Iterator[bytes]:
        for x in itertools.count():
            pulled.append(x)
            yield bytes(40 << 20)

    _job(engine, large())
    assert len(pulled) == 2 * engine.workers  # so many there must be, lest a worker idles


def test_nothing_is_pulled_at_once_again_when_the_ring_is_full() -> None:
    engine = FakeEngine(workers=2, room=3)
    pulled = itertools.count()
    job = _job(engine, pulled)
    assert next(pulled) == 4  # three in the ring, and one that is ready to be sent
    for _ in range(5):
        job.pull()
    assert next(pulled) == 5


@given(dead=st.sets(st.integers(0, 19)), chunk_size=st.integers(1, 4))
def test_a_death_is_that_of_all_items_of_its_record(dead: set[int], chunk_size: int) -> None:
    engine = FakeEngine(workers=2)
    job = _job(engine, range(20), chunk_size)

    def work() -> None:
        record = engine.take()
        items = range(record.start, record.start + record.count)
        first = next((x for x in items if x in dead), None)
        if first is None:
            engine.answer(record, lambda x: x)
        else:
            engine.die_at(record, first - record.start)

    engine.when_waiting = work
    expected = [
        WorkerDied if dead & set(range(x - x % chunk_size, x - x % chunk_size + chunk_size)) else x
        for x in range(20)
    ]
    assert list(_values(job)) == expected


@pytest.mark.parametrize("ordered", [True, False])
def test_an_answer_that_is_told_twice_counts_once(ordered: bool) -> None:
    engine = FakeEngine(workers=2)
    job = _job(engine, range(6), ordered=ordered)
    records = [engine.take() for _ in range(len(engine.ring))]
    for record in records:
        payload = pickle.dumps(loads_items(record.payload))
        with engine.lock:
            record.arrive(engine, messages.VALUE, payload, 1)
            record.arrive(engine, messages.VALUE, payload, 1)
    assert list(_values(job)) == list(range(6))


def test_the_error_of_the_input_comes_behind_what_was_pulled() -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise KeyError("input")

    engine = FakeEngine(workers=2)
    job = _job(engine, items())
    for x in range(5):
        assert job.next() == (True, x)
    with pytest.raises(KeyError, match="input"):
        job.next()
    with pytest.raises(StopIteration):
        job.next()


def test_an_item_that_can_not_be_pickled_has_its_error() -> None:
    engine = FakeEngine(workers=2)
    lock = engine.lock  # no lock can be pickled
    job = _job(engine, [1, lock, 3])
    assert list(_values(job)) == [1, TypeError, 3]


def test_abandoned_it_ends_with_that_error() -> None:
    engine = FakeEngine(workers=2, room=2)
    job = _job(engine, itertools.count())
    while engine.ring:
        engine.answer_one()
    job.abandon(RuntimeError("over"))
    assert job.next() == (True, 0)
    assert job.next() == (True, 1)
    # The piece that was made and not sent has the same error.
    assert isinstance(job.next(), tuple)
    with pytest.raises(RuntimeError, match="over"):
        job.next()
    with pytest.raises(StopIteration):
        job.next()


def test_next_looks_once_even_without_time() -> None:
    engine = FakeEngine(workers=2)
    job = _job(engine, range(3))
    assert job.next(0) == (True, 0)
    engine.when_waiting = lambda: None
    assert job.next(0) is None
    assert job.next(-1) is None


def test_an_engine_that_has_ended_ends_the_iteration() -> None:
    engine = FakeEngine(workers=2)
    job = _job(engine, range(100))
    engine.is_finished = True
    engine.when_waiting = lambda: None
    with pytest.raises(RuntimeError, match="ended"):
        job.next()
    with pytest.raises(StopIteration):
        job.next()
