"""A task that is asked to stop gets a TaskTimeout, and no other does."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from procession._codec import messages
from procession._worker.diary import Diary
from procession.errors.pool import TaskTimeout
from tests.pool.gates import Gate
from tests.worker.driving import Driven, driven

GUARDED = messages.GUARDED


@pytest.fixture
def begun() -> Iterator[Gate]:
    """The worker opens it when a task has begun."""
    gate = Gate()
    yield gate
    gate.close()


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Tasks wait here."""
    gate = Gate()
    yield gate
    gate.close()


@pytest.fixture
def worker(begun: Gate, gate: Gate) -> Iterator[Driven]:
    """A worker that is ready."""
    with driven() as worker:
        yield worker


class Task:
    """Waits at the gate. Travels with its call, as it has a state."""


def _wait(begun: Gate, gate: Gate) -> str:
    begun.open()
    gate.pass_through()
    return "went through"


def _clean_up(begun: Gate, gate: Gate) -> str:
    try:
        return _wait(begun, gate)
    except TaskTimeout as error:
        return f"cleaned up after {error.task}"


def _is_timeout(error: Any, task: str, pid: int) -> None:
    assert type(error) is TaskTimeout
    assert (error.timeout, error.pid, error.task, error.item) == (None, pid, task, None)


def test_a_call_is_stopped(worker: Driven, begun: Gate, gate: Gate) -> None:
    number = worker.call(_wait, begun, gate, flags=GUARDED)
    begun.pass_through()
    worker.stop(number)
    news = worker.next()
    assert news.number == number
    error = news.error
    _is_timeout(error, "_wait", worker.pid)
    text = str(error.__cause__)
    assert "in _wait" in text
    assert "procession/_worker" not in text
    worker.call(abs, -1)
    assert worker.next().value == 1
    assert worker.end() == 0


def test_a_call_may_clean_up(worker: Driven, begun: Gate, gate: Gate) -> None:
    number = worker.call(_clean_up, begun, gate, flags=GUARDED)
    begun.pass_through()
    worker.stop(number)
    assert worker.next().value == "cleaned up after _clean_up"
    assert worker.end() == 0


def _say_and_wait(begun: Gate, gate: Gate) -> str:
    print("waiting")
    return _wait(begun, gate)


def test_it_tells_the_last_lines(begun: Gate, gate: Gate) -> None:
    diary = Diary()
    with driven(diary=diary) as worker:
        number = worker.call(_say_and_wait, begun, gate, flags=GUARDED)
        begun.pass_through()
        worker.stop(number)
        assert worker.next().error.output == "waiting\n"
        assert worker.end() == 0
    diary.close()


@pytest.mark.parametrize("kind", [messages.STAREACH, messages.STARMAP])
def test_an_item_is_stopped(worker: Driven, begun: Gate, gate: Gate, kind: int) -> None:
    items = [(begun, gate)] * 3
    number = worker.send(kind | GUARDED | messages.TIMED, _wait, items, 0, 3)
    begun.pass_through()
    gate.open()
    begun.pass_through()
    worker.stop(number)
    if kind == messages.STAREACH:
        begun.pass_through()
        gate.open()
    outcomes = worker.next().outcomes
    assert outcomes[0] == "went through"
    _is_timeout(outcomes[1], "_wait", worker.pid)
    assert outcomes[2:] == ["went through"] * (kind == messages.STAREACH)
    assert worker.end() == 0


def test_a_signal_without_a_request_does_nothing(worker: Driven, begun: Gate, gate: Gate) -> None:
    worker.call(_wait, begun, gate, flags=GUARDED)
    begun.pass_through()
    os.kill(worker.pid, signal.SIGURG)
    gate.open()
    assert worker.next().value == "went through"
    os.kill(worker.pid, signal.SIGURG)
    assert worker.end() == 0


def test_a_request_for_another_task_does_nothing(worker: Driven, begun: Gate, gate: Gate) -> None:
    first = worker.call(abs, -1, flags=GUARDED)
    assert worker.next().value == 1
    worker.call(_wait, begun, gate, flags=GUARDED)
    begun.pass_through()
    worker.stop(first)
    gate.open()
    assert worker.next().value == "went through"
    assert worker.end() == 0


def test_a_task_that_can_not_be_stopped_softly_is_not(
    worker: Driven, begun: Gate, gate: Gate
) -> None:
    number = worker.call(_wait, begun, gate)
    begun.pass_through()
    worker.stop(number)
    gate.open()
    assert worker.next().value == "went through"
    assert worker.end() == 0


def _fork(begun: Gate, gate: Gate) -> int:
    pid = os.fork()
    if not pid:
        with contextlib.suppress(BaseException):
            begun.open()
            gate.pass_through()
            os._exit(0)
        os._exit(1)
    begun.pass_through()
    os.kill(pid, signal.SIGURG)
    gate.open()
    return os.waitpid(pid, 0)[1]


def test_a_child_of_the_task_is_not_stopped(worker: Driven, begun: Gate, gate: Gate) -> None:
    worker.call(_fork, begun, gate, flags=GUARDED)
    assert worker.next().value == 0
    assert worker.end() == 0


def _in_a_thread(begun: Gate, gate: Gate) -> str:
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(_wait(begun, gate)))
    thread.start()
    try:
        thread.join()
    except RuntimeError as error:  # "release unlocked lock": 3.11's join(), as the thread ends
        raise error.__context__ or error from None
    return found[0]


def test_what_waits_for_a_thread_is_stopped(worker: Driven, begun: Gate, gate: Gate) -> None:
    number = worker.call(_in_a_thread, begun, gate, flags=GUARDED)
    begun.pass_through()
    worker.stop(number)
    gate.open()  # the signal comes when join() lets it in: during it, or right behind it
    news = worker.next()
    if news.kind == messages.ERROR:
        _is_timeout(news.error, "_in_a_thread", worker.pid)
    else:
        assert news.value == "went through"
    assert worker.end() == 0
