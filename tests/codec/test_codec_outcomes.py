"""Outcomes of a chunk's items: run() of a channel makes them, decode_outcomes() reads them.

Parent and worker are one process here, which takes a seat in its own channel.
"""

from __future__ import annotations

import os
import pickle
import struct
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procession import _core
from procession._core import INLINE_LIMIT, Channel, decode_outcomes

PART = 0x100
OUTCOMES = 2

Arrival = tuple[Any, int, bytes, int, int, int]


class Entry:
    """What stands in the ledger for the chunk."""

    answer: Any = None
    attend = True
    block: int | None = None


def encode(value: Any) -> bytes:
    """As a worker does, in short."""
    return pickle.dumps(value, 5)


def encode_error(error: BaseException) -> bytes:
    """What kind of error it was, and what it said."""
    return f"{type(error).__name__}: {error}".encode()


class Seat:
    """A channel with one seat, which this process has taken."""

    def __init__(self) -> None:
        _core.join()
        self.bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.channel = Channel(1, 1 << 16, 1 << 18, 1, self.bell)
        self.channel.sit(0)
        self.number = 0
        self.open: dict[int, Any] = {}

    def submit(self, first: int, end: int) -> None:
        """Send a chunk; it is claimed."""
        self.number += 1
        assert self.channel.submit(Entry(), self.open, self.number, 4, 0, 0, b"", first, end)
        claimed = self.channel.claim()
        assert claimed is not None
        assert claimed[0] == self.number
        assert claimed[5:] == (first, end)

    def run(
        self,
        function: Callable[..., Any],
        items: Iterable[Any],
        first: int = 0,
        end: int = 1,
        *,
        star: bool = False,
        stop: bool = False,
        encode: Callable[[Any], Any] = encode,
    ) -> list[Arrival]:
        """Have the channel run a chunk; all that it answered."""
        self.submit(first, end)
        self.channel.run(function, items, star, stop, False, encode, encode_error)
        return self.collect()

    def collect(self) -> list[Arrival]:
        """All that is there."""
        arrivals: deque[Arrival] = deque()
        self.channel.collect(self.open, arrivals)
        assert self.channel.validate() is None
        return [*arrivals]

    def close(self) -> None:
        """Leave the seat, and give everything back."""
        self.channel.bury(0)
        self.channel.release()
        os.close(self.bell)


@pytest.fixture
def seat() -> Iterator[Seat]:
    """A seat, for one test."""
    made = Seat()
    try:
        yield made
    finally:
        made.close()


def outcomes(arrivals: list[Arrival], first: int = 0) -> tuple[list[Any], list[tuple[int, Any]]]:
    """What all arrivals say together: in order, without a gap, the last one last."""
    values: list[Any] = []
    failures: list[tuple[int, Any]] = []
    for index, (_, kind, payload, _, begin, end) in enumerate(arrivals):
        assert kind == OUTCOMES | (PART if index < len(arrivals) - 1 else 0)
        assert begin == first + len(values)
        failed: list[tuple[int, Any]] = []
        decoded = decode_outcomes(payload, pickle.loads, failed)
        failures += [(len(values) + at, reason) for at, reason in failed]
        values += decoded
        assert end == first + len(values)
    return values, failures


def returned(value: Any) -> Any:
    """The item itself."""
    return value


EDGES = [
    *[sign * (1 << bits) for bits in (7, 15, 31, 63) for sign in (1, -1)],
    *[sign * (1 << bits) - 1 for bits in (7, 15, 31, 63) for sign in (1, -1)],
    *[None, True, False, 0, 1 << 200, -0.0, float("inf"), 5e-324, "", "short", "é" * 100],
    *["x" * 251, "x" * 252, "é" * 126, "\ud800", b"", b"bytes", (), [1, [2]], {"key": 1.5}, 1j],
]


def test_values_come_back_as_what_they_were(seat: Seat) -> None:
    values, failures = outcomes(seat.run(returned, EDGES, 0, len(EDGES)))
    assert values == EDGES
    assert [repr(value) for value in values] == [repr(value) for value in EDGES]
    assert not failures


class Number(int):
    """An integer, but not only that."""


class Text(str):
    """A text, but not only that."""


def test_subclasses_keep_their_type(seat: Seat) -> None:
    values, _ = outcomes(seat.run(returned, [Number(3), Text("x")], 0, 2))
    assert [type(value) for value in values] == [Number, Text]


def test_simple_values_are_not_encoded_by_python(seat: Seat) -> None:
    def refuse(value: Any) -> bytes:
        raise AssertionError(value)

    simple = [None, True, 1, -(1 << 63), 2.5, "text"]
    assert outcomes(seat.run(returned, simple, 0, 6, encode=refuse)) == (simple, [])


@given(st.lists(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()))
def test_any_simple_values(values: list[Any]) -> None:
    seat = Seat()
    try:
        assert outcomes(seat.run(returned, values, 0, len(values))) == (values, [])
    finally:
        seat.close()


def test_a_range_is_run_from_its_first_item_on(seat: Seat) -> None:
    (arrival,) = seat.run(returned, iter(["c", "d"]), 2, 4)
    assert arrival[4:] == (2, 4)
    assert decode_outcomes(arrival[2], pickle.loads, []) == ["c", "d"]


def test_an_empty_range_is_answered(seat: Seat) -> None:
    (arrival,) = seat.run(returned, [], 5, 5)
    assert arrival[1:] == (OUTCOMES, b"", arrival[3], 5, 5)


def test_starred_items_are_arguments(seat: Seat) -> None:
    assert outcomes(seat.run(pow, [(2, 3), (2, 5, 7)], 0, 2, star=True)) == ([8, 4], [])


def divide(number: int) -> float:
    return 1 / number


def test_each_error_is_its_items(seat: Seat) -> None:
    values, failures = outcomes(seat.run(divide, [1, 0, 2, "x"], 0, 4))
    assert values == [1.0, None, 0.5, None]
    assert [index for index, _ in failures] == [1, 3]
    assert failures[0][1].startswith(b"ZeroDivisionError")
    assert failures[1][1].startswith(b"TypeError")


def test_the_first_error_can_end_it(seat: Seat) -> None:
    (arrival,) = seat.run(divide, [1, 0, 2], 0, 3, stop=True)
    assert arrival[4:] == (0, 2)
    assert seat.open == {}
    failures: list[tuple[int, Any]] = []
    assert decode_outcomes(arrival[2], pickle.loads, failures) == [1.0, None]
    assert len(failures) == 1


def raise_it(error: BaseException) -> Any:
    raise error


@pytest.mark.parametrize("kind", [StopIteration, SystemExit, KeyboardInterrupt, GeneratorExit])
def test_whatever_is_raised_is_an_outcome(seat: Seat, kind: type[BaseException]) -> None:
    values, failures = outcomes(seat.run(raise_it, [kind("why"), kind("not")], 0, 2))
    assert values == [None, None]
    assert [reason.decode() for _, reason in failures] == [
        f"{kind.__name__}: why",
        f"{kind.__name__}: not",
    ]


def test_items_that_end_early_are_errors(seat: Seat) -> None:
    values, failures = outcomes(seat.run(returned, iter([1]), 0, 3))
    assert values == [1, None, None]
    assert [reason for _, reason in failures] == [
        b"RuntimeError: there is no item 1: the chunk's items ended early",
        b"RuntimeError: there is no item 2: the chunk's items ended early",
    ]


def test_what_can_not_be_encoded_is_an_error(seat: Seat) -> None:
    values, failures = outcomes(seat.run(returned, [1, (lambda: 1), 2], 0, 3))
    assert values == [1, None, 2]
    ((index, reason),) = failures
    assert index == 1
    assert b"lambda" in reason


def test_what_is_encoded_must_be_bytes(seat: Seat) -> None:
    _, failures = outcomes(seat.run(returned, [[]], encode=lambda value: value))
    assert failures[0][1].startswith(b"TypeError")


def test_an_error_that_can_not_be_encoded_is_raised_and_what_was_done_is_sent(seat: Seat) -> None:
    def fail(error: BaseException) -> bytes:
        raise OSError("no") from error

    seat.submit(0, 3)
    with pytest.raises(OSError, match="no"):
        seat.channel.run(divide, [1, 0, 2], False, False, False, encode, fail)
    seat.channel.answer(seat.number, 1, b"all of it")
    part, arrival = seat.collect()
    assert part[4:] == (0, 1)
    assert decode_outcomes(part[2], pickle.loads, []) == [divide(1)]
    assert arrival[1:3] == (1, b"all of it")
    assert arrival[4:] == (1, 3)


def test_a_full_area_is_sent_in_parts(seat: Seat) -> None:
    texts = [str(number) * 10 for number in range(2500)]
    arrivals = seat.run(returned, texts, 0, len(texts))
    assert len(arrivals) > 5
    assert all(len(arrival[2]) <= INLINE_LIMIT for arrival in arrivals)
    assert outcomes(arrivals) == (texts, [])
    assert seat.open == {}


@pytest.mark.parametrize("size", [INLINE_LIMIT - 30, INLINE_LIMIT, INLINE_LIMIT + 30, 1 << 20])
def test_what_is_too_large_for_the_area_goes_by_itself(seat: Seat, size: int) -> None:
    items = [1, bytes(size), "x", bytes(size), bytes(20), bytes(size)]
    assert outcomes(seat.run(returned, items, 0, 6)) == (items, [])


def test_what_comes_from_parts_is_in_the_ledger_until_the_last(seat: Seat) -> None:
    seat.submit(0, 2)
    known = []

    def look(number: int) -> bytes:
        known.append([arrival[1] for arrival in seat.collect()])
        return bytes(INLINE_LIMIT)

    seat.channel.run(look, [1, 2], False, False, False, encode, encode_error)
    assert known == [[], [OUTCOMES | PART]]
    assert seat.number in seat.open
    assert [arrival[1] for arrival in seat.collect()] == [OUTCOMES | PART, OUTCOMES]
    assert seat.number not in seat.open


def test_an_items_end_is_seen_while_the_next_one_runs(seat: Seat) -> None:
    seen = []

    def look(item: int) -> int:
        ((_, number, begun, end, done, since, item_since),) = seat.channel.seats()
        assert number == seat.number
        assert since <= item_since <= seat.channel.now_ns()
        seen.append((begun, end, done))
        if item == 1:
            assert seat.channel.take_back(0, number, 1) == (3, 4)
        return item

    seat.submit(0, 4)
    seat.channel.run(look, range(4), False, False, True, encode, encode_error)
    assert seen == [(1, 4, 0), (2, 4, 1), (3, 3, 2)]
    assert seat.channel.seats() == []
    (arrival,) = seat.collect()
    assert arrival[4:] == (0, 3)


def test_a_stop_is_asked_of_the_running_item_only(seat: Seat) -> None:
    channel = seat.channel
    told = []

    def look(item: int) -> None:
        told.append(channel.stop_asked())
        assert channel.stop(0, seat.number, item) is True
        assert channel.stop(0, seat.number, item + 1) is False
        if item:
            told.append(channel.stop_asked())

    seat.submit(0, 2)
    channel.run(look, range(2), False, False, False, encode, encode_error)
    assert told == [False, False, True]
    seat.submit(0, 1)
    assert channel.stop(0, seat.number)
    assert not channel.stop_asked()  # no task's code runs
    assert channel.guarded(channel.stop_asked, (), {})
    channel.answer(seat.number, 0, b"")
    assert channel.stop(0, seat.number) is False


def test_what_is_guarded_may_raise(seat: Seat) -> None:
    with pytest.raises(ZeroDivisionError):
        seat.channel.guarded(divide, (0,), {})
    assert seat.channel.guarded(sorted, ([2, 1],), {"reverse": True}) == [2, 1]
    assert not seat.channel.stop_asked()


def test_a_doom_names_the_running_task(seat: Seat) -> None:
    seat.submit(0, 1)
    assert not seat.channel.doom(0, seat.number + 1, None)
    assert not seat.channel.doom(0, seat.number, 0)
    assert seat.channel.doom(0, seat.number, None)
    seat.channel.pardon(0)
    seat.channel.answer(seat.number, 0, b"")
    assert not seat.channel.doom(0, seat.number, None)


def test_what_is_revoked_is_not_claimed(seat: Seat) -> None:
    for number in (7, 8, 9):
        assert seat.channel.submit(Entry(), seat.open, number, 0, 0, 0, bytes(100))
    assert seat.channel.revoke({7, 9, 11}) == {7, 9}
    assert seat.channel.revoke({7, 9, 11}) == set()
    claimed = seat.channel.claim()
    assert claimed is not None
    assert claimed[0] == 8
    seat.channel.answer(8, 0, b"")
    seat.channel.duty(0, 2)
    assert seat.channel.claim() is None
    seat.channel.duty(0, 0)


def test_one_is_revoked_at_its_place(seat: Seat) -> None:
    places = {
        number: seat.channel.submit(Entry(), seat.open, number, 0, 0, 0, bytes(100))
        for number in range(7, 12)
    }
    assert len({*places.values()} - {0}) == 5
    assert not seat.channel.revoke_at(8, places[9])
    for nonsense in (0, 2, places[7] + 1, places[11] + 8000, 2**64 - 1):
        assert not seat.channel.revoke_at(7, nonsense)
    claimed = seat.channel.claim()
    assert claimed is not None
    assert claimed[0] == 7
    assert not seat.channel.revoke_at(7, places[7])
    seat.channel.answer(7, 0, b"")
    for number in (8, 10, 11):
        assert seat.channel.revoke_at(number, places[number])
        assert not seat.channel.revoke_at(number, places[number])
    claimed = seat.channel.claim()
    assert claimed is not None
    assert claimed[0] == 9
    seat.channel.answer(9, 0, b"")
    seat.channel.duty(0, 2)
    assert seat.channel.claim() is None
    seat.channel.duty(0, 0)


def test_a_burial_tells_what_was_done(seat: Seat) -> None:
    def die(item: int) -> int:
        if item == 2:
            raise SystemError("the worker's end")
        return item

    def fail(error: BaseException) -> Any:
        return error

    seat.submit(0, 4)
    with pytest.raises(TypeError):
        seat.channel.run(die, range(4), False, False, False, encode, fail)
    buried = seat.channel.bury(0)
    assert buried is not None
    assert buried[:6] == (seat.number, True, 3, 4, 2, 0)
    assert decode_outcomes(buried[6], pickle.loads, []) == [0, 1]
    assert seat.channel.bury(0) is None


@pytest.mark.parametrize(
    "arguments",
    [(0, 3), (0, 0, -1), (0, 1, "x"), (9, 1, 1), (-1, 1, 1)],
)
def test_nonsense_is_refused(seat: Seat, arguments: tuple[Any, ...]) -> None:
    with pytest.raises((TypeError, ValueError, OverflowError)):
        seat.channel.take_back(*arguments)


def test_ranges_have_bounds(seat: Seat) -> None:
    for first, end in ((2, 1), (0, 1 << 24)):
        with pytest.raises(ValueError, match="a record has at most 16777215"):
            seat.channel.submit(Entry(), seat.open, 1, 0, 0, 0, b"", first, end)
    with pytest.raises(ValueError, match="no duty 3"):
        seat.channel.duty(0, 3)


# ---- reading ----


def pickled(value: Any) -> bytes:
    """The outcome that holds a pickle."""
    content = pickle.dumps(value)
    return b"P" + struct.pack("=Q", len(content)) + content


def refuse_to_load(payload: Any) -> Any:
    raise LookupError("no such thing here")


def test_what_can_not_be_loaded_is_a_failure() -> None:
    failures: list[tuple[int, Any]] = []
    assert decode_outcomes(b"N" + pickled([]) + b"T", refuse_to_load, failures) == [
        None,
        None,
        True,
    ]
    ((index, error),) = failures
    assert index == 1
    assert isinstance(error, LookupError)
    assert error.__traceback__ is not None


def test_who_exits_while_loading_exits() -> None:
    with pytest.raises(SystemExit):
        decode_outcomes(pickled([]), lambda _: sys.exit(), [])


def test_large_pickles_are_loaded_where_they_lie() -> None:
    kinds = []

    def load(payload: Any) -> Any:
        kinds.append(type(payload))
        return pickle.loads(payload)

    both = pickled(b"small") + pickled(bytes(10000))
    assert decode_outcomes(both, load, []) == [b"small", bytes(10000)]
    assert kinds == [bytes, memoryview]


@pytest.mark.parametrize(
    "payload", [b"q\0", b"d", b"S\1\0\0\0", b"P" + struct.pack("=Q", 1 << 63), b"E\0", b"NNb"]
)
def test_bytes_that_end_early_are_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match="end within outcome"):
        decode_outcomes(payload, pickle.loads, [])


def test_unknown_tags_are_refused() -> None:
    with pytest.raises(ValueError, match="outcome 1 has an unknown tag, 88"):
        decode_outcomes(b"NX", pickle.loads, [])
    with pytest.raises(TypeError, match="decode_outcomes"):
        decode_outcomes(b"", pickle.loads, ())  # type: ignore[arg-type]
