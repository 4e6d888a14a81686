"""What the workers do not know by its name is sent again, by value: a function, what items are made
of, or what one of them is made of."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from procession._codec import messages
from procession._codec.exceptions import encode_exception
from procession._engine.options import Options
from tests.engine.engines import FakeEngine
from tests.engine.ranges import ranges


def test_a_function_that_the_workers_do_not_know_is_sent_by_value() -> None:
    engine = FakeEngine(workers=1)
    job = engine.start_map(range(400), 200)
    engine.claim()
    engine.channel.answer_whole(0, messages.BY_VALUE)
    engine.collect()
    assert ranges(engine) == [(200, 400)]
    engine.attendant.serve()
    assert ranges(engine) == [(200, 400), (0, 200)]
    assert engine.ring[1].sent == (2, 2)
    engine.wait(job)
    assert job.outcome() == (True, list(range(400)))
    engine.assert_clean()


def test_a_function_of_one_call_is_sent_by_value_and_so_are_all_that_follow() -> None:
    engine = FakeEngine(workers=2)
    engine.functions.is_known = False
    job = engine.start_map(range(1000), 100)
    by_name = engine.ring[0].sent
    assert {piece.sent for piece in engine.ring} == {by_name}
    for seat in range(2):
        engine.claim(0, seat)
        engine.channel.answer_whole(seat, messages.BY_VALUE)
    engine.collect()
    for _ in range(2):
        engine.attendant.serve()
    _, by_value = engine.functions.own  # one for both
    again = [piece for piece in engine.ring if piece.start < 200]
    assert sorted((piece.start, piece.sent) for piece in again) == [(0, by_value), (100, by_value)]
    seen = set()
    while engine.ring:
        piece = engine.claim()
        if piece.sent == by_name:  # it was on its way already
            engine.channel.answer_whole(0, messages.BY_VALUE)
            engine.collect()
            engine.attendant.serve()
            continue
        seen.add(piece.sent)
        engine.run()
        engine.collect()
        engine.feeder.feed_jobs()
    assert seen == {by_value}
    assert job.outcome() == (True, list(range(1000)))
    engine.assert_clean()


def test_what_was_run_before_a_function_was_missed_is_not_run_again() -> None:
    engine = FakeEngine(workers=1)
    engine.functions.is_known = False
    job = engine.start_map(range(400), 200, Options(errors="return"))
    engine.claim()
    for item in range(3):
        engine.channel.begin(0)
        engine.channel.finish(0, -item)
    engine.channel.flush(0)
    engine.channel.answer_whole(0, messages.BY_VALUE)
    engine.collect()
    engine.attendant.serve()
    assert (3, 200) in ranges(engine)
    engine.wait(job)
    assert job.outcome() == (True, [0, -1, -2, *range(3, 400)])
    engine.assert_clean()


def test_a_function_of_a_call_that_was_given_up_meanwhile_is_freed() -> None:
    engine = FakeEngine(workers=1)
    engine.functions.is_known = False
    job = engine.start_map(range(4), 2)
    engine.claim()
    engine.channel.answer_whole(0, messages.BY_VALUE)
    engine.collect()
    job.cancel()
    assert engine.functions.own == []
    engine.attendant.serve()
    engine.feeder.feed_jobs()
    engine.assert_clean()


LACKING = encode_exception(AttributeError("it is not there"))


def test_arguments_that_the_workers_do_not_know_are_sent_by_value_once() -> None:
    engine = FakeEngine(workers=1)
    job = engine.start_map(range(400), 200, Options(errors="return"))
    for _ in range(2):
        engine.claim(-1)
        engine.channel.answer_whole(0, messages.ARGUMENTS_BY_VALUE, LACKING)
        engine.collect()
        engine.attendant.serve()
    assert ranges(engine) == [(0, 200)]
    engine.wait(job)
    success, values = job.outcome()
    assert success
    assert values[:200] == list(range(200))
    assert {type(value) for value in values[200:]} == {AttributeError}
    engine.assert_clean()


class Strange:
    """What an item is made of. Here it can be unpickled, or not."""

    error: BaseException | None = None

    def __reduce__(self) -> Any:
        return _strange, ()


def _strange() -> Strange:
    if Strange.error is not None:
        raise Strange.error
    return Strange()


MANY = 1000


def _come(engine: FakeEngine, job: Any) -> list[Any]:
    """What can be taken now; others are sent then."""
    engine.collect()
    found: list[Any] = []
    with contextlib.suppress(StopIteration):
        while (one := job.next(0)) is not None:
            found.append(one[1])
    engine.feeder.feed_jobs()
    return found


def _many_in_one(engine: FakeEngine) -> tuple[Any, list[Any], Any]:
    """A stream of items with a part in common; what came of it before the first piece that has
    several is claimed; that piece."""
    part = [Strange()]
    job = engine.start_stream([(at, part) for at in range(MANY)], options=Options(errors="return"))
    found: list[Any] = []
    while True:
        piece = engine.claim()
        if piece.end > 5:
            return job, found, piece
        engine.run(lambda item: item[0])
        found += _come(engine, job)


@pytest.mark.parametrize("error", [None, OSError("no"), SystemExit(2), KeyboardInterrupt()])
def test_one_item_that_the_workers_do_not_know_is_sent_by_value_alone(
    error: BaseException | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = FakeEngine(workers=1)
    job, found, piece = _many_in_one(engine)
    for item in range(3):
        engine.channel.begin(0)
        engine.channel.finish(0, piece.start + item)
    engine.channel.flush(0)
    engine.channel.answer_whole(0, messages.ARGUMENTS_BY_VALUE, LACKING)
    engine.collect()
    others = ranges(engine)
    with monkeypatch.context() as patch:
        patch.setattr(Strange, "error", error)
        engine.attendant.serve()
    lacking = piece.start + 3
    rest = [(lacking + 1, piece.start + piece.end)]
    alone = [(lacking, lacking + 1)] if error is None else []
    assert ranges(engine) == others + alone + rest
    found += _come(engine, job)
    while engine.ring:
        engine.claim()
        engine.run(lambda item: item[0])
        found += _come(engine, job)
    wanted: list[Any] = list(range(MANY))
    if error is not None:
        wanted[lacking] = error
    assert [repr(one) for one in found] == [repr(one) for one in wanted]
    engine.assert_clean()


def test_a_call_that_was_given_up_is_not_sent_by_value() -> None:
    engine = FakeEngine(workers=1)
    job = engine.start_map(range(4), 2)
    engine.claim()
    engine.channel.answer_whole(0, messages.BY_VALUE)
    engine.collect()
    job.cancel()
    engine.attendant.serve()
    engine.feeder.feed_jobs()
    engine.assert_clean()
