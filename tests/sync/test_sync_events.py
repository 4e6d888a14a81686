"""Events: as the standard library's, but whoever dies at one is missed by nobody."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import threading
from typing import Any

import pytest

import procession
from procession import _core
from procession._sync.events import Event
from tests.sync import waits
from tests.sync.waits import Crew, interrupted_when, is_waiting_here


@pytest.fixture(params=["stdlib", "procession"])
def event(request: pytest.FixtureRequest) -> Any:
    """What both must do alike."""
    if request.param == "procession":
        return Event()
    return multiprocessing.get_context("fork").Event()


def test_set_and_clear(event: Any) -> None:
    assert not event.is_set()
    for _ in range(2):
        event.set()
        assert event.is_set()
    for _ in range(2):
        event.clear()
        assert not event.is_set()


def test_what_wait_returns(event: Any) -> None:
    assert event.wait(0) is False
    assert event.wait(timeout=0.001) is False
    assert event.wait(-1) is False
    event.set()
    assert event.wait() is True
    assert event.wait(0) is True


def test_repr(event: Any) -> None:
    assert repr(event).startswith("<Event at 0x")
    assert repr(event).endswith(" unset>")
    event.set()
    assert repr(event).endswith(" set>")


def test_a_thread_waits_for_another(event: Any) -> None:
    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(event.wait(30))) for _ in range(3)]
    for thread in threads:
        thread.start()
    event.set()
    for thread in threads:
        thread.join()
    assert results == [True] * 3


def test_arguments_are_checked() -> None:
    with pytest.raises(TypeError):
        Event(1)  # type: ignore[call-arg]
    event = Event()
    with pytest.raises(TypeError, match="at most 1 argument"):
        event.wait(1, 2)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument 'block'"):
        event.wait(block=True)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        event.wait("soon")  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="__init__"):
        Event.__new__(Event).set()


def test_it_travels() -> None:
    event = Event()
    other = pickle.loads(pickle.dumps(event))
    other.set()
    assert event.is_set()


def test_processes_wait_for_it(ctx: Any) -> None:
    event = Event()
    with Crew(ctx) as crew:
        members = [crew.waiting(waits.wait, event) for _ in range(2)]
        event.set()
        assert [member.report() for member in members] == [True, True]


def test_who_waited_when_it_was_set_is_let_go_though_it_is_cleared(ctx: Any) -> None:
    event = Event()
    with Crew(ctx) as crew:
        waiter = crew.waiting(waits.wait, event)
        setter = crew.start(waits.set_and_clear, event)
        assert setter.report() == "done"
        assert waiter.report() is True
        assert not event.is_set()


def test_a_dead_waiter_keeps_nobody_waiting(ctx: Any) -> None:
    event = Event()
    with Crew(ctx) as crew:
        doomed, waiter = crew.waiting(waits.wait, event), crew.waiting(waits.wait, event)
        doomed.kill()
        event.set()
        assert waiter.report() is True
        event.clear()
        assert event.wait(0) is False


def test_a_stopped_waiter_keeps_nobody_waiting() -> None:
    event = Event()
    with Crew(procession.get_context("fork")) as crew:
        stopped, waiter = crew.waiting(waits.wait, event), crew.waiting(waits.wait, event)
        stopped.stop()
        event.set()
        assert waiter.report() is True


def test_an_interrupt_ends_the_wait() -> None:
    event = Event()
    with (
        interrupted_when(is_waiting_here(os.getpid())),
        pytest.raises(KeyboardInterrupt),
    ):
        event.wait()
    event.set()
    assert event.wait()


def test_a_signal_that_raises_nothing_does_not() -> None:
    event = Event()
    with Crew(procession.get_context("fork")) as crew:
        waiter = crew.waiting(waits.wait_undisturbed, event)
        assert waiter.process.pid is not None
        os.kill(waiter.process.pid, waits.HARMLESS)
        assert waiter.report() == "handled"
        event.set()
        assert waiter.report() is True


def test_who_waits_is_listed() -> None:
    event = Event()
    thread = threading.Thread(target=event.wait, args=(60,), name="patient")
    thread.start()
    is_waiting = is_waiting_here(os.getpid())
    while not is_waiting():
        os.sched_yield()
    (spot,) = _core.census(_core.arena_descriptor())[4]
    assert spot[2:4] == (os.getpid(), thread.ident)
    assert spot[6] is True  # it gives up at a deadline
    event.set()
    thread.join()
    assert not is_waiting()
