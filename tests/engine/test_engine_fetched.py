"""Inputs with a thread of their own, and the job that lives on one; the test is the thread."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procession._codec.items import Pickled
from procession._engine import sources
from procession._engine.lookahead import FIRST_ITEMS_A_WORKER
from procession._engine.options import PLAIN, Options
from procession._engine.sources import PATIENCE, Fetched, Pulled, streamed
from procession._engine.streams import StreamJob
from tests.engine.engines import FakeEngine

COUNT = 30


class Clock:
    """Stands still but for what the test adds."""

    now = 0.0

    def read(self) -> float:
        """The time."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(sources, "monotonic", clock.read)
    return clock


def _fetched(items: Iterator[Any], *, whole: bool = False) -> Fetched:
    return Fetched(items, None, whole=whole)


def _calling(call: Callable[[int], object], count: int = 1000) -> Iterator[int]:
    """Items that are told before the next one is pulled how many were."""
    for number in range(count):
        call(number)
        yield number


def _freely() -> bool:
    return True


def _at_once() -> bool:
    return False


# ---- the source


@given(
    count=st.integers(0, COUNT),
    fails=st.booleans(),
    steps=st.lists(
        st.tuples(st.sampled_from("fta"), st.integers(1, 9), st.booleans()), max_size=60
    ),
)
def test_all_that_it_gave_is_taken_once_and_in_order(
    count: int, fails: bool, steps: list[tuple[str, int, bool]]
) -> None:
    error = OSError("torn")

    def items() -> Iterator[int]:
        yield from range(count)
        if fails:
            raise error

    source = _fetched(items())
    taken: list[int] = []

    def take(most: int, part: int) -> None:
        found = source.ahead(most)
        assert len(found) <= most
        taken.extend(found[:part])
        source.taken += len(found[:part])

    for step, number, flag in steps:
        if step == "f":
            here = source._pulled - source.taken
            source.fetch(number, _freely if flag else _at_once)
            assert source._pulled - source.taken <= max(here, number)
        elif step == "t":
            take(number, number)
        else:
            take(number, number // 2)  # what was looked at and not taken is still ahead
        assert source.holds == (source._pulled > source.taken)
    while not source.is_exhausted:
        source.fetch(5, _freely)
        take(5, 5)
    assert taken == list(range(count))
    assert source.error is (error if fails else None)
    assert source.ahead(5) == []
    assert not source.fetch(5, _freely)


def test_it_is_pulled_by_its_thread_alone() -> None:
    source = _fetched(iter(range(5)))
    assert source.ahead(3) == []
    assert not source.is_exhausted
    assert source.fetch(3, _freely)
    assert source.ahead(5) == [0, 1, 2]


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(("hold", "here"), [(True, 4), (False, 1)])
def test_without_need_nothing_is_held_back(hold: bool, here: int) -> None:
    source = _fetched(iter(range(9)))
    source.fetch(4, lambda: hold)
    assert source.ahead(9) == list(range(here))


def test_nor_is_it_for_long(clock: Clock) -> None:
    def items() -> Iterator[int]:
        for number in range(9):
            clock.now += PATIENCE / 2.5
            yield number

    source = _fetched(items())
    source.fetch(9, _freely)
    assert source.ahead(9) == [0, 1, 2]


@pytest.mark.usefixtures("clock")
def test_one_that_can_not_be_kept_is_taken_before_the_next_is_pulled() -> None:
    source = _fetched(iter([1, 2, [3], 4]))
    source.keep = lambda item: None if isinstance(item, list) else item
    source.fetch(9, _freely)
    assert source.ahead(9) == [1, 2, [3]]
    source.taken = 2
    assert not source.fetch(9, _freely)
    source.taken = 3
    assert source.fetch(9, _freely)
    assert source.ahead(9) == [4]


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_what_is_raised_when_one_is_kept_is_its_own(error: BaseException) -> None:
    def keep(item: int) -> int:
        if item == 1:
            raise error
        return item

    source = _fetched(iter(range(3)))
    source.keep = keep
    source.fetch(9, _freely)
    first, second, third = source.ahead(9)
    assert (first, third) == (0, 2)
    assert type(second) is Pickled
    assert second.error is error


def test_chunks_are_whole() -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        assert not source.ahead(3)  # while it is at the second chunk
        yield 5
        yield 6

    source = _fetched(items(), whole=True)
    source.fetch(3, _at_once)
    assert source.ahead(3) == [0, 1, 2]
    source.taken = 3
    source.fetch(3, _at_once)
    assert source.ahead(3) == [3, 4, 5]
    source.taken = 6
    source.fetch(3, _at_once)
    assert source.ahead(3) == [6]  # the rest


def test_what_was_pulled_of_a_chunk_in_which_it_fails_goes_with_it() -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise OSError("torn")

    source = _fetched(items(), whole=True)
    source.fetch(3, _freely)
    source.ahead(3)
    source.taken = 3
    source.fetch(3, _freely)
    assert source.ahead(3) == []
    assert source.is_exhausted
    assert isinstance(source.error, OSError)


def test_ended_it_gives_no_more() -> None:
    source = _fetched(itertools.count())
    source.fetch(5, _freely)
    source.end()
    assert source.is_exhausted
    assert not source.holds
    assert not source.ahead(5)
    assert not source.fetch(5, _freely)


def test_what_it_raises_when_it_was_ended_is_of_no_interest() -> None:
    def items() -> Iterator[int]:
        source.end()
        yield 1
        raise OSError("torn")

    source = _fetched(items())
    source.fetch(5, _freely)
    assert source.error is None
    assert source.is_exhausted


def test_what_it_gives_when_it_was_ended_is_not_kept() -> None:
    def items() -> Iterator[int]:
        yield 0
        source.end()
        yield 1

    source = _fetched(items())
    source.keep = lambda item: pytest.fail("nobody wants it") if item else item
    source.fetch(5, _freely)
    assert source.ahead(5) == ()
    assert source.is_exhausted
    assert not source._held


def test_it_is_known_whether_it_is_waited_for() -> None:
    seen: list[bool] = []
    source = _fetched(_calling(lambda _: seen.append(source.is_pulling), 3))
    source.fetch(5, _freely)
    assert seen == [True] * 3
    assert not source.is_pulling


def test_what_closing_it_raises_is_raised() -> None:
    def items() -> Iterator[int]:
        try:
            yield 1
        finally:
            raise ValueError("at the end")

    source = _fetched(items())
    source.fetch(1, _at_once)
    source.end()
    with pytest.raises(ValueError, match="at the end"):
        source.close()


@pytest.mark.parametrize(
    ("items", "kind"),
    [
        ([1], Pulled),
        ({1}, Pulled),
        ({1: 2}.values(), Pulled),
        ((x for x in [1]), Fetched),
        (map(abs, [1]), Fetched),
        (iter(int, 1), Fetched),
        (SimpleNamespace, None),
    ],
)
def test_code_has_a_thread(items: Any, kind: Any) -> None:
    if kind is None:
        with pytest.raises(TypeError, match="not iterable"):
            streamed(items, whole=False)
    else:
        assert type(streamed(items, whole=True)) is kind


# ---- the job


def _job(
    engine: FakeEngine,
    items: Iterator[Any],
    chunk_size: int | None = None,
    options: Options = PLAIN,
) -> StreamJob:
    source = _fetched(items, whole=chunk_size is not None)
    job = StreamJob(engine, abs, source, chunk_size, options)
    engine.streams.add(job)
    return job


def test_so_much_is_fetched_as_may_be_ahead() -> None:
    engine = FakeEngine(workers=2)
    job = _job(engine, itertools.count())
    job.fetch()
    assert job._source.taken == len(engine.ring) == 2 * FIRST_ITEMS_A_WORKER
    job.fetch()
    assert job._source.taken == 2 * FIRST_ITEMS_A_WORKER


def test_while_workers_have_nothing_to_do_each_is_sent_before_the_next_is_pulled() -> None:
    engine = FakeEngine(workers=2)
    sent: list[int] = []
    job = _job(engine, _calling(lambda _: sent.append(len(engine.ring)), 4))
    job.fetch()
    assert sent == [0, 1, 2, 3]


def test_what_is_held_back_the_consumer_sends_while_the_input_waits() -> None:
    engine = FakeEngine(workers=2)
    job: StreamJob

    def wait(number: int) -> None:
        before = len(engine.ring)
        if job._input.holds:  # it would wait behind enough others
            assert before >= 4
        job.feed()
        assert not job._input.holds
        assert sum(piece.end - piece.first for piece in engine.ring) == number

    job = _job(engine, _calling(wait))
    job._waiting.append(None)
    job.fetch()
    assert job._source.taken == 2 * FIRST_ITEMS_A_WORKER


def test_a_job_whose_input_waits_is_over_when_it_ends() -> None:
    engine = FakeEngine(workers=2)
    job: StreamJob

    def consume(number: int) -> None:
        if number:
            assert job.next() == (True, number - 1)

    job = _job(engine, _calling(consume, 50))
    while not job.is_exhausted:
        job.fetch()
    assert job not in engine.streams
    assert job.next() == (True, 49)
    with pytest.raises(StopIteration):
        job.next()


@pytest.mark.parametrize("chunk_size", [None, 3])
def test_a_ring_that_is_full_is_waited_for(chunk_size: int | None) -> None:
    engine = FakeEngine(workers=2, room=2)
    job = _job(engine, iter(range(20)), chunk_size)
    job.fetch()
    assert len(engine.ring) == 2
    assert job.waits_for_room
    found: list[Any] = []
    while len(found) < 20:
        outcome = job.next()
        assert outcome is not None
        found.append(outcome[1])
        job.fetch()
    assert found == list(range(20))


def test_the_end_is_noticed_although_there_is_no_room_for_more() -> None:
    engine = FakeEngine(workers=8)

    def items() -> Iterator[int]:
        yield from range(15)
        engine.workers = 1

    job = _job(engine, items())
    job.fetch()
    assert job._room() <= 0
    assert job.is_exhausted
    assert job not in engine.streams


def test_the_rest_of_a_call_that_was_abandoned_is_not_made() -> None:
    engine = FakeEngine(workers=2)
    job: StreamJob

    def abandon(number: int) -> None:
        if number == 2:
            job.abandon(OSError("torn"))

    job = _job(engine, _calling(abandon, 5))
    job.fetch()
    assert len(engine.ring) == job._source.taken == 2
    assert job._made is None
    assert [job.next(), job.next()] == [(True, 0), (True, 1)]
    with pytest.raises(OSError, match="torn"):
        job.next()
    with pytest.raises(StopIteration):
        job.next()


def test_an_item_is_not_held_back_while_nothing_is_under_way() -> None:
    """The consumer may take all that was while the input is asked."""
    engine = FakeEngine(workers=2)
    job: StreamJob
    sent: list[int] = []

    def look(number: int) -> None:
        if number == 10:
            for _ in range(10):
                job.next()
        if number > 10:
            sent.append(len(job._on_the_way))

    job = _job(engine, _calling(look, 13))
    job._waiting.append(None)
    job.fetch()
    assert sent == [1, 2]


@pytest.mark.parametrize("workers", [1, 2, 8, 32])
@pytest.mark.parametrize("chunk_size", [None, 3])
def test_the_thread_is_woken_before_the_workers_have_nothing_to_do(
    workers: int, chunk_size: int | None
) -> None:
    engine = FakeEngine(workers=workers)
    job = _job(engine, itertools.count(), chunk_size, Options(max_bytes=1))
    least = 2 * workers * (chunk_size or 1)
    job.fetch()
    assert job._ahead() == least
    job.next()
    assert job._is_worth_waking()
    job.fetch()
    assert job._ahead() >= least


def test_it_is_not_woken_for_each_item() -> None:
    engine = FakeEngine(workers=2)
    job = _job(engine, itertools.count())
    woken = 0
    for _ in range(1000):
        if job._is_worth_waking():
            woken += 1
            job.fetch()
        job.next()
    assert woken < 200


def test_nothing_is_held_back_while_nobody_waits_for_a_result() -> None:
    engine = FakeEngine(workers=2)
    sent: list[int] = []
    job = _job(engine, _calling(lambda _: sent.append(len(engine.ring)), 12))
    job.fetch()
    assert sent == list(range(12))


def test_who_goes_with_a_result_leaves_nothing_unsent() -> None:
    engine = FakeEngine(workers=2)
    job: StreamJob
    source = _fetched(iter(range(20)))
    job = StreamJob(engine, abs, source, None, PLAIN)
    engine.streams.add(job)
    source.fetch(6, _freely)
    assert job.next() == (True, 0)
    assert not source.holds


@pytest.mark.usefixtures("clock")
def test_one_that_can_not_be_kept_is_the_last_even_if_it_is_taken_at_once() -> None:
    source = _fetched(iter([1, [2], 3]))
    source.keep = lambda item: None if isinstance(item, list) else item

    def take() -> bool:
        source.taken = source._pulled
        return True

    source.fetch(9, take)
    assert source._pulled == 2
