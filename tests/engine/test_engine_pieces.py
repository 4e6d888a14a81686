"""Pieces: ranges of items, which are cut by whatever happens to them, and never lost or doubled."""

from __future__ import annotations

import dis
import itertools
import sys
from collections import Counter
from types import FrameType
from typing import Any

import pytest

from procession import _core
from procession._codec import messages
from procession._codec.exceptions import decode_exception
from procession._codec.objects import loads
from procession._engine.entries import FAILURE
from procession._engine.options import Options
from procession._engine.pieces import Piece
from procession._engine.policy import PoolState
from procession._engine.settling import DEATHS_WHILE_LOADING
from procession.errors.pool import PoolTerminated, WorkerDied
from tests.engine.engines import FakeEngine, encode_outcome
from tests.engine.ranges import ranges

NUMBERS = [0, -128, 127, 128, -32769, 1 << 31, -(1 << 63), 1 << 63, 1.5]


@pytest.mark.parametrize(
    "value", [None, True, False, *NUMBERS, "", "ä" * 99, (1, "x"), b"bytes", [None]]
)
def test_the_fake_encodes_outcomes_as_the_core_decodes_them(value: Any) -> None:
    failures: list[Any] = []
    payload = encode_outcome(value) + encode_outcome(KeyError(value)) + encode_outcome(value)
    values = _core.decode_outcomes(payload, loads, failures)
    assert values == [value, None, value]
    assert type(values[0]) is type(value)
    ((place, encoded),) = failures
    assert place == 1
    assert decode_exception(encoded).args == (value,)


def test_a_death_fails_the_item_it_came_at_and_no_other() -> None:
    engine = FakeEngine()
    job = engine.start_map(range(6), 6, Options(errors="return"))
    engine.claim()
    engine.die_at(2)
    assert ranges(engine) == [(3, 6)]
    engine.answer_one()
    values = job.outcome()[1]
    assert [*values[:2], *values[3:]] == [0, 1, 3, 4, 5]
    assert isinstance(values[2], WorkerDied)
    assert values[2].item == 2
    engine.assert_clean()


@pytest.mark.parametrize("flushed", [0, 1, 2, 3])
def test_what_was_finished_before_a_death_is_not_run_again(flushed: int) -> None:
    engine = FakeEngine()
    job = engine.start_map(range(5), 5)
    engine.claim()
    for item in range(3):
        engine.channel.begin(0)
        engine.channel.finish(0, item)
        if item + 1 == flushed:
            engine.channel.flush(0)
    engine.die()
    assert ranges(engine) == [(3, 5)]  # nobody is to blame
    engine.answer_one()
    assert job.outcome() == (True, [0, 1, 2, 3, 4])
    engine.assert_clean()


def test_a_death_behind_the_last_item_costs_nothing() -> None:
    engine = FakeEngine()
    job = engine.start_map(range(2), 2)
    engine.claim()
    for item in range(2):
        engine.channel.begin(0)
        engine.channel.finish(0, item)
    engine.die()
    assert ranges(engine) == []
    assert job.outcome() == (True, [0, 1])
    engine.assert_clean()


def test_an_answer_that_came_before_the_death_counts() -> None:
    engine = FakeEngine()
    job = engine.start_map(range(2), 2)
    engine.claim()
    for item in range(2):
        engine.channel.begin(0)
        engine.channel.finish(0, item)
    engine.channel.answer(0, leave=False)
    engine.die()
    assert job.outcome() == (True, [0, 1])
    engine.assert_clean()


def test_a_piece_that_was_not_started_is_sent_as_it_is() -> None:
    engine = FakeEngine()
    engine.start_map(range(3), 3)
    for _ in range(10):
        engine.channel.claim(0, started=False)
        engine.die()
        assert ranges(engine) == [(0, 3)]


def test_items_that_kill_while_they_are_loaded_are_not_loaded_for_ever() -> None:
    engine = FakeEngine()
    job = engine.start_map(range(4), 2, Options(errors="return"))
    for _ in range(DEATHS_WHILE_LOADING):
        piece = engine.claim(index=ranges(engine).index((0, 2)))
        assert piece.start == 0
        engine.die()
    engine.answer_one()
    values = job.outcome()[1]
    assert values[2:] == [2, 3]
    assert [(type(value), value.item) for value in values[:2]] == [(WorkerDied, 0), (WorkerDied, 1)]
    assert values[0].quarantined
    engine.assert_clean()


def test_deaths_while_loading_are_counted_for_the_same_items() -> None:
    engine = FakeEngine(workers=5)
    job = engine.start_map(range(20), 2)
    for start in range(0, 20, 2):
        engine.claim(index=ranges(engine).index((start, start + 2)))
        engine.die()
    while engine.ring:
        engine.answer_one()
    assert job.outcome() == (True, list(range(20)))


def test_a_worker_that_dies_while_it_loads_what_was_taken_from_it_fails_nothing() -> None:
    engine = FakeEngine()
    job = engine.start_map(range(2), 2)
    for _ in range(2 * DEATHS_WHILE_LOADING):
        piece = engine.claim()
        engine.settler.take_back(0, piece, 0)
        engine.die()
    engine.answer_one()
    assert job.outcome() == (True, [0, 1])
    engine.assert_clean()


def test_what_is_taken_back_goes_out_once() -> None:
    engine = FakeEngine()
    job = engine.start_map(range(12), 6)
    piece = engine.claim()
    engine.channel.begin(0)
    engine.settler.take_back(0, piece, 2)
    assert ranges(engine) == [(6, 12), (3, 6)]
    engine.settler.take_back(0, piece, 0)
    assert ranges(engine) == [(6, 12), (3, 6), (1, 3)]
    engine.settler.take_back(0, piece, 0)
    assert len(engine.ring) == 3
    while engine.ring:
        engine.claim(seat=1)
        engine.run(seat=1)
    assert job.answer is None
    engine.channel.finish(0, 0)
    engine.channel.answer(0)
    engine.collect()
    assert job.outcome() == (True, list(range(12)))
    engine.assert_clean()


def test_what_is_sent_again_comes_before_what_waits_for_room() -> None:
    engine = FakeEngine(room=1)
    job, other = engine.start_map(range(12), 6), engine.start_map(range(12), 6)
    engine.claim()
    engine.channel.begin(0)
    engine.channel.finish(0, 0)
    other.feed()
    engine.die()
    assert [piece.job for piece in engine.ring] == [other]
    (waiting,) = engine.feeder.records
    assert isinstance(waiting, Piece)
    assert waiting.job is job
    engine.claim()
    engine.collect()
    assert ranges(engine) == [(1, 6)]
    assert not engine.feeder.records


@pytest.mark.parametrize("gives_up", ["map", "stream"])
def test_what_runs_when_a_call_is_given_up_ends_with_the_item_it_is_at(gives_up: str) -> None:
    engine = FakeEngine(workers=1)
    start = engine.start_map if gives_up == "map" else engine.start_stream
    job = start(range(20), 5)
    engine.claim()
    engine.channel.begin(0)
    if gives_up == "map":
        job.cancel()
    else:
        job.close()
    assert ranges(engine) == []
    claim = engine.channel.claims[0]
    assert claim.begun == claim.end == 1
    engine.die()
    assert ranges(engine) == []
    engine.feeder.feed_jobs()
    engine.assert_clean()


@pytest.mark.parametrize("kind", ["map", "stream"])
def test_what_can_not_be_published_because_the_pool_has_ended_says_so(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = FakeEngine(workers=1, room=1)
    job = (engine.start_map if kind == "map" else engine.start_stream)(range(9), 1)

    def find(_: object) -> None:
        engine._finished = True
        engine.state = PoolState.TERMINATING
        raise ValueError("Pool not running")

    monkeypatch.setattr(engine.functions, "find", find)
    engine.claim()
    job.feed()
    with engine.lock:
        engine.fail_all()
    success, error = job.outcome() if kind == "map" else job.next()
    assert not success
    assert type(error) is PoolTerminated


def test_a_death_that_breaks_the_pool_fails_all_that_is_open() -> None:
    engine = FakeEngine(workers=1)
    jobs = [engine.start_map(range(4), 2, Options(on_death="break")) for _ in range(2)]
    engine.claim()
    engine.die_at(0)
    assert engine.state is PoolState.BROKEN
    engine.fail_all()  # as the supervisor does then
    for job in jobs:
        assert job.answer
        assert not job.outcome()[0]
    assert not engine.open


_CALLS = {dis.opmap[name] for name in ("CALL", "JUMP_BACKWARD", "RESUME") if name in dis.opmap}


class Interrupt:
    """A Ctrl-C at the so-and-so-manieth place of the engine's code where one can come in."""

    def __init__(self, place: int) -> None:
        self.left = place
        self._last: dict[FrameType, int] = {}

    def __enter__(self) -> None:
        self._before = sys.gettrace()
        sys.settrace(self._trace)

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)

    def _trace(self, frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_back is not None:  # no call of C: then none can come in behind it
            self._last.pop(frame.f_back, None)
        if "/_engine/" not in frame.f_code.co_filename:
            return None
        frame.f_trace_opcodes = True
        return self._at

    def _at(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "opcode":
            last = self._last.get(frame)
            self._last[frame] = frame.f_code.co_code[frame.f_lasti]
            if last in _CALLS:
                self.left -= 1
                if self.left == 0:
                    raise KeyboardInterrupt
        return self._at


@pytest.mark.parametrize("kind", ["map", "ordered", "unordered"])
def test_an_interrupt_anywhere_loses_nothing_and_doubles_nothing(kind: str) -> None:
    for place in itertools.count(1):
        engine = FakeEngine(workers=2)
        runs: Counter[int] = Counter()

        def run(item: int, runs: Counter[int] = runs) -> int:
            runs[item] += 1
            if item == 1 and runs[item] < 3:
                raise ValueError(item)
            return item

        options = Options(retries=2, ordered=kind != "unordered")
        start = engine.start_map if kind == "map" else engine.start_stream
        job = start(range(5), 5, options)
        engine.claim()
        engine.run(run)
        interrupt = Interrupt(place)
        try:
            with interrupt:
                engine.collect()
        except KeyboardInterrupt:
            pass
        engine.collect()
        while engine.ring:
            engine.answer_one(function=run)
        if kind == "map":
            assert job.answer
            assert job.outcome() == (True, [0, 1, 2, 3, 4]), place
        else:
            values = [job.next()[1] for _ in range(5)]
            with pytest.raises(StopIteration):
                job.next()
            assert sorted(values) == [0, 1, 2, 3, 4], place
        assert runs == {0: 1, 1: 3, 2: 1, 3: 1, 4: 1}, place
        engine.assert_clean()
        if interrupt.left > 0:
            # From 3.12 on, the opcodes of few frames are traced, if of any.
            assert place > 20 or sys.version_info >= (3, 12)
            break


class Handler(Interrupt):
    """A signal handler that comes in there, and collects."""

    def __init__(self, place: int, engine: FakeEngine) -> None:
        super().__init__(place)
        self._engine = engine

    def _at(self, frame: FrameType, event: str, _: Any) -> Any:
        try:
            return super()._at(frame, event, _)
        except KeyboardInterrupt:
            self._engine.collect()
            return self._at


@pytest.mark.parametrize("kind", ["map", "ordered", "unordered"])
def test_a_handler_that_collects_anywhere_doubles_nothing(kind: str) -> None:
    for place in itertools.count(1):
        engine = FakeEngine(workers=2)
        start = engine.start_map if kind == "map" else engine.start_stream
        job = start(range(5), 5, Options(ordered=kind != "unordered"))
        engine.claim()
        engine.run()
        handler = Handler(place, engine)
        with handler:
            engine.collect()
        engine.collect()
        if kind == "map":
            assert job.outcome() == (True, [0, 1, 2, 3, 4]), place
        else:
            assert [job.next()[1] for _ in range(5)] == [0, 1, 2, 3, 4], place
            with pytest.raises(StopIteration):
                job.next()
        assert job.settled == 5, place
        engine.assert_clean()
        if handler.left > 0:
            assert place > 10
            break


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("retries", [0, 2])
def test_a_part_that_had_no_memory_here_fails_its_items(twice: bool, retries: int) -> None:
    """The piece goes on."""
    engine = FakeEngine()
    engine.channel.tells_twice = twice
    job = engine.start_map(range(4), 4, Options(errors="return", retries=retries))
    engine.claim()
    for item in range(3):
        engine.channel.begin(0)
        engine.channel.finish(0, item)
        engine.channel.flush(0)
    number, _, _, *rest = engine.channel.results[1]
    error = MemoryError()
    engine.channel.results[1] = (number, FAILURE | messages.PART, error, *rest)
    engine.collect()
    assert [*engine.open] == [number]
    assert job.counts()[:2] == (3, 1)
    engine.run()
    engine.wait(job)
    assert job.outcome() == (True, [0, error, 2, 3])
    engine.assert_clean()


def test_a_last_part_that_had_no_memory_here_fails_what_is_left() -> None:
    engine = FakeEngine()
    job = engine.start_map(range(4), 4, Options(errors="return"))
    engine.claim()
    engine.channel.begin(0)
    engine.channel.finish(0, 0)
    engine.channel.flush(0)
    error: Any = MemoryError()
    engine.channel.answer_whole(0, FAILURE, error)
    engine.wait(job)
    assert job.outcome() == (True, [0, error, error, error])
    engine.assert_clean()
