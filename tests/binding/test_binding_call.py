"""``Channel.call``: a simple task in one step, or nothing done."""

from __future__ import annotations

import os
import pickle
from collections import deque
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from procession import _core
from procession._core import INLINE_LIMIT, LEAST_APART, Channel
from tests.binding.test_binding_collect import Entry

SENT = (7, 9)


class Raises:
    """Raises this while it is pickled."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.asked = 0

    def __reduce__(self) -> Any:
        self.asked += 1
        raise self.error


@pytest.fixture
def channel() -> Iterator[Channel]:
    """A channel whose only seat is this process's."""
    _core.join()
    bell = os.eventfd(0)
    channel = Channel(1, 1 << 16, 1 << 16, 1, bell)
    channel.sit(0)
    yield channel
    channel.release()
    os.close(bell)


def _call(channel: Channel, arguments: Any) -> tuple[Any, Any, dict[int, Any]]:
    entry = Entry()
    open_: dict[int, Any] = {}
    numbers = count(5).__next__
    return channel.call(entry, open_, numbers, SENT, arguments), entry, open_


def test_it_is_sent_and_the_entry_knows_all(channel: Channel) -> None:
    went, entry, open_ = _call(channel, ((1, "a"), {"x": 2.5}))
    assert went is True
    assert open_ == {5: entry}
    assert (entry.number, entry.kind, entry.sent, entry.block) == (5, 0, SENT, 0)
    assert pickle.loads(entry.payload) == ((1, "a"), {"x": 2.5})
    task = channel.claim()
    assert task is not None
    number, kind, function, code, payload, first, end = task
    assert (number, kind, function, code, first, end) == (5, 0, *SENT, 0, 1)
    assert payload == entry.payload
    channel.answer(5, 0, b"answer")
    arrivals: deque[Any] = deque()
    channel.collect(open_, arrivals)
    assert (open_, entry.answer[:2]) == ({}, (0, b"answer"))


def test_its_place_is_that_to_take_it_back_from(channel: Channel) -> None:
    _, entry, _ = _call(channel, ())
    assert channel.revoke_at(5, entry.position) is True


def test_what_is_too_large_for_a_record_is_pickled_only(channel: Channel) -> None:
    made, entry, open_ = _call(channel, "a" * INLINE_LIMIT)
    assert pickle.loads(made) == "a" * INLINE_LIMIT
    assert (open_, vars(entry)) == ({}, {})


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (bytes(LEAST_APART), False),
        (lambda: 1, None),
        ((one for one in "ab"), None),
        (Raises(TypeError("no")), None),
    ],
)
def test_what_is_not_simple_is_left_to_others(channel: Channel, arguments: Any, told: Any) -> None:
    made, entry, open_ = _call(channel, (arguments, {}))
    assert made is told
    assert (open_, vars(entry)) == ({}, {})


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt(), SystemExit(3)])
def test_what_is_raised_meanwhile_is_raised_once(channel: Channel, error: BaseException) -> None:
    arguments = Raises(error)
    with pytest.raises(type(error)):
        _call(channel, arguments)
    assert arguments.asked == 1


def test_a_full_ring_takes_nothing(channel: Channel) -> None:
    entries: dict[int, Any] = {}
    numbers = count(1).__next__
    text = "a" * (INLINE_LIMIT // 2)
    sent = 0
    while (made := channel.call(Entry(), entries, numbers, SENT, text)) is True:
        sent += 1
    assert pickle.loads(made or b"") == text
    assert list(entries) == list(range(1, sent + 1))
    assert sent > 3


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_after_the_end_nothing_is_sent(when: str) -> None:
    # It may come while a number is asked for, which is Python code: from a signal handler.
    bell = os.eventfd(0)
    channel = Channel(1, 1 << 16, 1 << 16, 1, bell)
    later: list[Channel] = []

    def release() -> int:
        channel.release()
        later.append(Channel(1, 1 << 16, 1 << 16, 1, bell))  # where the other one was
        return 5

    if when == "before":
        release()
    open_: dict[int, Any] = {}
    made: Any = channel.call(Entry(), open_, release, SENT, (1,))
    assert pickle.loads(made) == (1,)
    assert open_ == {}
    for other in later:
        other.sit(0)
        other.close()
        assert other.claim() is None
        other.release()
    os.close(bell)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        (Entry(), {}, int, SENT),
        (Entry(), [], int, SENT, ()),
        (Entry(), {}, int, (1,), ()),
        (Entry(), {}, int, 5, ()),
        (Entry(), {}, lambda: "a", SENT, ()),
        (object(), {}, int, SENT, ()),
    ],
)
def test_nonsense_is_refused(channel: Channel, arguments: Any) -> None:
    with pytest.raises((TypeError, AttributeError)):
        channel.call(*arguments)
    assert not any(isinstance(one, dict) and one for one in arguments)
