"""Arguments in an arena that is too small for all of them: everything passes, one after another."""

from __future__ import annotations

import gc
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procession._codec.buffers import Payload
from procession._engine import packing
from procession._engine.entries import Task
from procession._engine.options import PLAIN, Options
from procession._engine.packing import PATIENCE, Shortage, emptied, filled, is_hopeless
from procession._engine.policy import Fate, PoolState
from procession.errors.memory import ArenaFull
from procession.errors.pool import PoolTerminated
from tests.engine.arenas import FakeArena, Item
from tests.engine.engines import INLINE, FakeEngine
from tests.engine.schedules import Schedule, choices

BUDGET = 100

weights_ = st.lists(st.integers(0, 90), min_size=1, max_size=7)
options_ = st.builds(
    Options,
    retries=st.integers(0, 3),
    on_death=st.sampled_from([None, "fail", "retry"]),
    errors=st.just("return"),
    max_in_flight=st.none() | st.integers(1, 9),
    max_bytes=st.none() | st.integers(1, 200),
    timeout=st.just(1.0),
    ordered=st.booleans(),
)


def _items(count: int) -> list[Item]:
    return list(map(Item, range(count)))


@given(
    count=st.integers(1, 25),
    weights=weights_,
    workers=st.integers(1, 3),
    room=st.none() | st.integers(1, 4),
    as_list=st.booleans(),
    options=options_,
    drawn=choices,
)
def test_a_map_passes_whatever_happens_when(
    count: int,
    weights: list[int],
    workers: int,
    room: int | None,
    as_list: bool,
    options: Options,
    drawn: list[int],
) -> None:
    arena = FakeArena(BUDGET, weights)
    engine = FakeEngine(workers, room, arena)
    schedule = Schedule(engine, drawn, options)
    items = _items(count)
    job = engine.start_map(items if as_list else iter(items), None, options)
    assert engine.wait(job)
    success, values = job.outcome()
    assert success
    for item, value in enumerate(values):
        assert schedule.is_right(item, item in schedule.done, value)
    schedule.run_out()
    engine.assert_clean()
    del job
    arena.assert_empty()


@given(
    count=st.integers(1, 25),
    weights=weights_,
    workers=st.integers(1, 3),
    options=options_,
    drawn=choices,
)
def test_a_stream_passes_whatever_happens_when(
    count: int, weights: list[int], workers: int, options: Options, drawn: list[int]
) -> None:
    arena = FakeArena(BUDGET, weights)
    engine = FakeEngine(workers, None, arena)
    schedule = Schedule(engine, drawn, options)
    stream = engine.start_stream(iter(_items(count)), None, options.changed(errors="raise"))
    outcomes: list[Any] = [stream.next() for _ in range(count)]
    with pytest.raises(StopIteration):
        stream.next()
    if options.ordered:
        for item, (success, value) in enumerate(outcomes):
            assert schedule.is_right(item, success, value)
    schedule.run_out()
    engine.assert_clean()
    del stream, outcomes
    arena.assert_empty()


@given(
    weights=st.lists(st.integers(1, 75), min_size=1, max_size=5),
    moment=st.integers(0, 30),
    drawn=choices,
    is_stream=st.booleans(),
)
def test_given_up_at_any_moment_all_is_given_back(
    weights: list[int], moment: int, drawn: list[int], is_stream: bool
) -> None:
    arena = FakeArena(BUDGET, weights)
    engine = FakeEngine(2, None, arena)
    schedule = Schedule(engine, drawn, PLAIN)
    job = engine.start_stream(_items(20)) if is_stream else engine.start_map(_items(20))
    for _ in range(moment):
        if not schedule.is_over:
            schedule.step()
        job.feed()
    if is_stream:
        job.close()
    else:
        job.cancel()
    schedule.run_out()
    engine.assert_clean()
    arena.assert_empty()


def _submit(engine: FakeEngine, item: int, options: Options = PLAIN) -> Task:
    task = Task(None, abs, options)
    engine.submit(task, (Item(item),), {})
    return task


def test_who_submits_waits_until_there_is_room() -> None:
    arena = FakeArena(BUDGET, [30])
    engine = FakeEngine(2, None, arena)
    tasks = [_submit(engine, number) for number in range(20)]
    assert arena.refused
    assert arena.highest <= BUDGET
    while engine.open:
        engine.answer_one()
    assert all(task.answer is not None for task in tasks)
    engine.assert_clean()
    arena.assert_empty()  # the tasks are still there: nobody has asked for their values


def test_who_submits_what_never_fits_is_told_at_once() -> None:
    arena = FakeArena(BUDGET, [30, 80])
    engine = FakeEngine(2, None, arena)
    first = _submit(engine, 0)
    with pytest.raises(ArenaFull) as caught:
        _submit(engine, 1)
    assert (caught.value.asked, caught.value.budget, caught.value.in_use) == (80, 100, 30)
    assert first.answer is None
    engine.answer_one()
    engine.assert_clean()


def test_where_nothing_is_under_way_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "PATIENCE", 0.0)
    arena = FakeArena(BUDGET, [30])
    engine = FakeEngine(2, None, arena)
    kept = arena.dumps_task([1, 2], once=True)
    with pytest.raises(ArenaFull):
        _submit(engine, 0)
    job = engine.start_map(_items(3), None, Options(errors="return"))
    assert engine.wait(job)
    assert [type(value) for value in job.outcome()[1]] == [ArenaFull] * 3
    stream = engine.start_stream(iter(_items(2)))
    assert [type(stream.next()[1]) for _ in range(2)] == [ArenaFull] * 2
    del kept
    assert engine.wait(_submit(engine, 0))


def test_who_waits_for_room_in_a_pool_that_ends_is_told() -> None:
    arena = FakeArena(BUDGET, [70])
    engine = FakeEngine(2, None, arena)
    first = _submit(engine, 0)

    def end() -> None:
        engine.state = PoolState.TERMINATING
        engine.fail_all()

    engine.channel.when_waiting = end
    with pytest.raises(ValueError, match="not running"):
        _submit(engine, 1)
    assert isinstance(first.outcome()[1], PoolTerminated)
    arena.assert_empty()


def test_a_record_that_is_sent_again_names_what_it_named() -> None:
    for text in ("", "x" * 2 * INLINE):
        arena = FakeArena(BUDGET, [30])
        engine = FakeEngine(2, None, arena)
        task = Task(None, abs, Options(retries=2))
        engine.submit(task, (Item(1), text), {})
        for _ in range(2):
            engine.claim()
            engine.die(0, Fate.DIED)
        engine.claim()  # whose part is there, or this fails
        assert arena.in_use == 30
        engine.run()
        engine.collect()
        engine.assert_clean()
        arena.assert_empty()


def test_bytes_under_way_come_to_nothing() -> None:
    arena = FakeArena(BUDGET, [30])
    engine = FakeEngine(2, None, arena)
    options = Options(max_bytes=60, retries=1)
    for number in range(5):
        _submit(engine, number, options)
        assert engine.bytes_under_way <= 60
    engine.claim()
    engine.die(0, Fate.DIED)
    while engine.open:
        engine.answer_one()
    assert engine.bytes_under_way == 0


def test_what_is_kept_of_a_payload_in_a_block() -> None:
    kept: Any = [object()]
    payload = Payload(b"a pickle", kept, 5000)
    left = emptied(payload)
    assert (bytes(left), left.kept, left.size) == (b"", kept, 5000)  # type: ignore[attr-defined]
    again = filled(left, b"a pickle")
    assert isinstance(again, Payload)
    assert (bytes(again), again.kept, again.size) == (b"a pickle", kept, 5000)
    plain = filled(emptied(b"a pickle"), b"a pickle")
    assert type(plain) is bytes
    assert emptied(b"a pickle").size == 8  # type: ignore[attr-defined]


@given(
    st.lists(st.tuples(st.floats(0, 2 * PATIENCE), st.integers(0, 2), st.booleans()), min_size=1),
    st.floats(0, 1e9),
)
def test_a_shortage_ends_when_nothing_happens_for_long(
    events: list[tuple[float, int, bool]], start: float
) -> None:
    shortage = Shortage()
    times = itertools.accumulate((step for step, _, _ in events), initial=start)
    last_news, freed = start, 0
    for at, (now, (_, more, under_way)) in enumerate(zip(times, events, strict=False)):
        freed += more
        if at == 0 or more or under_way:
            last_news = now
        waits = shortage.is_worth_waiting(now, freed, under_way=under_way)
        assert waits == (now - last_news < PATIENCE)


@pytest.mark.parametrize(
    ("asked", "budget", "hopeless"), [(75, 100, False), (76, 100, True), (10**12, 0, False)]
)
def test_what_never_fits(asked: int, budget: int, hopeless: bool) -> None:
    assert is_hopeless(ArenaFull(asked, budget, 0, 0)) is hopeless


def test_nothing_is_left_in_a_cycle() -> None:
    # Large arguments must not wait for a garbage collection.
    arena = FakeArena(BUDGET, [30])
    engine = FakeEngine(2, None, arena)
    gc.disable()
    try:
        job: Any = engine.start_map(_items(6))
        assert engine.wait(job)
        job.outcome()
        task: Any = _submit(engine, 0)
        assert engine.wait(task)
        assert arena.in_use == 0
    finally:
        gc.enable()
