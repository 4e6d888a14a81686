"""Turn: one thread at a time does the work, and no wish is lost."""

from __future__ import annotations

import sys
import threading

import pytest

from procession._engine.turn import Turn
from tests.plugins.scripts import LIMIT


def test_the_work_is_done_once_a_wish() -> None:
    done: list[int] = []
    turn = Turn()
    for count in range(1, 5):
        turn.take(lambda: done.append(1))
        assert len(done) == count


def test_a_wish_inside_the_work_is_served_behind_it() -> None:
    events: list[str] = []

    def work() -> None:
        first = not events
        events.append("begin")
        if first:
            turn.take(work)
            turn.take(work)  # two wishes are one
            events.append("wished")
        events.append("end")

    turn = Turn()
    turn.take(work)
    assert events == ["begin", "wished", "end", "begin", "end"]


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt(), SystemExit()])
def test_an_exception_goes_to_who_does_the_work_and_the_turn_is_free(error: BaseException) -> None:
    raising = [error]
    done: list[int] = []

    def work() -> None:
        if raising:
            raise raising.pop()
        done.append(1)

    turn = Turn()
    with pytest.raises(type(error)) as caught:
        turn.take(work)
    assert caught.value is error
    assert done == []
    turn.take(work)
    assert done == [1]


class Held:
    """A piece of work that is held up in its first run."""

    def __init__(self) -> None:
        self.began, self.go_on = threading.Event(), threading.Event()
        self.runs: list[threading.Thread] = []
        self.turn = Turn()
        self.thread = threading.Thread(target=self.turn.take, args=(self._work,))
        self.thread.start()
        assert self.began.wait(LIMIT)

    def _work(self) -> None:
        self.runs.append(threading.current_thread())
        self.began.set()
        assert self.go_on.wait(LIMIT)

    def end(self) -> None:
        self.go_on.set()
        self.thread.join()


def test_no_thread_waits_for_another() -> None:
    held = Held()
    # Each of these returns although the work is held up: else the watchdog would end this.
    others = [threading.Thread(target=held.turn.take, args=(held._work,)) for _ in range(5)]
    for other in others:
        other.start()
    for other in others:
        other.join()
    held.turn.take(held._work)
    assert held.runs == [held.thread]
    held.end()
    # Their wishes are served by the thread that was at it.
    assert held.runs == [held.thread] * 2


def test_without_a_wish_the_work_is_not_repeated() -> None:
    held = Held()
    held.end()
    assert held.runs == [held.thread]
    held.turn.take(held._work)
    assert held.runs == [held.thread, threading.current_thread()]


def test_one_thread_at_a_time_and_no_wish_is_lost() -> None:
    inside: list[int] = []
    crowded: list[int] = []
    wished: list[int] = []
    seen: list[int] = []

    def work() -> None:
        inside.append(1)
        crowded.append(len(inside))
        seen.append(len(wished))
        inside.pop()

    turn = Turn()

    def ask() -> None:
        for _ in range(2000):
            wished.append(1)
            turn.take(work)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert set(crowded) == {1}
    # Whatever was wished, the work was done after it.
    assert seen[-1] == 8000
