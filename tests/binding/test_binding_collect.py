"""collect(): what is raised while results are handed out keeps no result from its entry.

Parent and worker are one process here, which takes a seat in its own channel.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from procession._core import Channel

RING = 1 << 16


class Entry:
    """What stands in the ledger."""

    answer: Any = None
    attend: Any = False
    block: int | None = None


class Refusing(Entry):
    """An entry to which nothing can be handed out.

    Args:
        error: what comes of it.
    """

    def __init__(self, error: BaseException) -> None:
        self.error = error

    @property
    def attend(self) -> Any:
        """The first that is asked for."""
        raise self.error


class Waiting(Entry):
    """An entry that a thread waits for, whose answer a property tells.

    Args:
        meanwhile: called once, while that thread waits.
        error: raised where it is asked for its answer meanwhile.
    """

    def __init__(self, meanwhile: Callable[[], object], error: BaseException | None = None) -> None:
        self.meanwhile = meanwhile
        self.error = error
        self.asked = 0

    @property
    def answer(self) -> Any:
        """None at first."""
        self.asked += 1
        if self.asked == 1:
            self.meanwhile()
            return None
        if self.asked == 2 and self.error is not None:
            raise self.error
        return True


class Pool:
    """A channel with one seat, which this process has taken."""

    def __init__(self) -> None:
        self.bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.channel = Channel(1, RING, RING, 1, self.bell)
        self.channel.sit(0)
        self.open: dict[int, Any] = {}
        self.arrivals: deque[Any] = deque()

    def answer(self, *entries: Entry) -> None:
        """Tasks for these entries are sent and answered, one after the other."""
        for entry in entries:
            number = len(self.open) + 1
            assert self.channel.submit(entry, self.open, number, 1, 0, 0, b"")
            claimed = self.channel.claim()
            assert claimed is not None
            assert claimed[0] == number
            self.channel.answer(number, 0, b"result")

    def collect(self) -> None:
        """Hand out what was answered."""
        self.channel.collect(self.open, self.arrivals)

    def wait(self, entry: Entry) -> bool | None:
        """Wait for it, with patience."""
        return self.channel.wait(entry, self.open, self.arrivals, 30, self.channel.wakes())


@pytest.fixture
def pool() -> Iterator[Pool]:
    """A channel, for one test."""
    made = Pool()
    try:
        yield made
    finally:
        made.channel.bury(0)
        made.channel.release()
        os.close(made.bell)


def _collected(pool: Pool, *entries: Entry, error: BaseException | None = None) -> Any:
    """What is raised where these get their answers while a thread waits for something else, which
    raises `error` when it is asked whether it has its own."""
    raised: list[BaseException | None] = []

    def meanwhile() -> None:
        pool.answer(*entries)
        try:
            pool.collect()
        except BaseException as caught:
            raised.append(caught)
        else:
            raised.append(None)

    waiting = Waiting(meanwhile, error)
    assert pool.wait(waiting) is True
    assert waiting.asked > 2
    assert pool.channel.validate() is None
    assert pool.open == {}
    return raised[0]


def test_an_error_is_raised_and_the_others_get_their_answers(pool: Pool) -> None:
    before, after = Entry(), Entry()
    error = MemoryError("for this one")
    assert _collected(pool, before, Refusing(error), after) is error
    assert before.answer[:2] == after.answer[:2] == (0, b"result")


def test_the_first_of_several_errors_is_raised(pool: Pool) -> None:
    first, last = MemoryError("first"), Entry()
    raised = _collected(pool, Refusing(first), Refusing(ValueError("second")), last)
    assert raised is first
    assert last.answer is not None


@pytest.mark.parametrize("turned", [False, True])
def test_an_interrupt_is_not_lost_to_an_error(pool: Pool, turned: bool) -> None:
    error, interrupt = MemoryError(), KeyboardInterrupt()
    entries = [Refusing(error), Entry(), Refusing(interrupt)]
    assert _collected(pool, *(entries[::-1] if turned else entries)) is interrupt


def test_an_interrupt_while_others_are_woken_is_raised(pool: Pool) -> None:
    """The entries have their answers."""
    entry, interrupt = Entry(), KeyboardInterrupt()
    assert _collected(pool, entry, error=interrupt) is interrupt
    assert entry.answer is not None


def test_an_entry_s_error_is_for_who_waits_for_it(pool: Pool) -> None:
    entry = Entry()
    assert _collected(pool, entry, error=ValueError("not for this thread")) is None
    assert entry.answer is not None


def test_an_error_comes_before_one_while_others_are_woken(pool: Pool) -> None:
    error, entry = MemoryError(), Entry()
    assert _collected(pool, Refusing(error), entry, error=ValueError()) is error
    assert entry.answer is not None
