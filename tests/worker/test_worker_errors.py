"""The errors of pools: what they say, and that they travel."""

from __future__ import annotations

import concurrent.futures
import copy
import pickle
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import pytest

import procession
from procession._codec.exceptions import decode_exception, encode_exception
from procession.errors.pool import TaskTimeout, WorkerDied


def _decoded(error: BaseException) -> Any:
    return decode_exception(encode_exception(error))


WAYS: list[Callable[[BaseException], Any]] = [
    lambda error: pickle.loads(pickle.dumps(error)),
    copy.copy,
    _decoded,
]
each_way = pytest.mark.parametrize("way", WAYS, ids=["pickle", "copy", "decoded"])


def test_a_death_in_short() -> None:
    error = WorkerDied(123, -9, "f(3)")
    assert str(error) == (
        "worker 123 died (killed by SIGKILL) while it ran f(3); no other task is affected"
    )
    assert (error.cause, error.output, error.stack) == (None, "", "")
    assert (error.attempts, error.quarantined) == (1, False)
    assert isinstance(error, BrokenProcessPool)


def test_a_death_at_length() -> None:
    error = WorkerDied(
        123, -11, "f in a map", 7, cause="bad luck", output="a\nb\n", stack="s", attempts=2
    )
    assert str(error) == (
        "worker 123 died (killed by SIGSEGV) while it ran f in a map at item 7; no other task is "
        "affected. Likely cause: bad luck. It was run 2 times\n"
        "The last that it printed:\n"
        "  a\n"
        "  b"
    )


def test_a_dangerous_task() -> None:
    error = WorkerDied(123, -9, "f(3)", attempts=3, quarantined=True)
    assert str(error).endswith("It has ended 3 workers so far, and is not run again")


def test_of_much_output_the_message_has_the_end() -> None:
    output = "".join(f"line {number}\n" for number in range(100))
    for error in (WorkerDied(1, 3, "f()", output=output), TaskTimeout(1, 1, "f()", output=output)):
        lines = str(error).splitlines()
        assert lines[-1] == "  line 99"
        assert lines[1:] == ["The last that it printed:", *(f"  line {n}" for n in range(90, 100))]
        assert error.output == output


@pytest.mark.parametrize("output", ["", "\n", " \n\n"])
def test_without_words_there_are_no_last_words(output: str) -> None:
    assert "\n" not in str(WorkerDied(1, 3, "f()", output=output))


@each_way
def test_a_death_travels(way: Callable[[Any], Any]) -> None:
    error = WorkerDied(
        1, -9, "f()", 4, cause="c", output="o", stack="s", attempts=3, quarantined=True
    )
    error.add_note("a note")
    other = way(error)
    assert type(other) is WorkerDied
    assert vars(other) == vars(error)
    assert (str(other), other.args, other.signal) == (str(error), error.args, "SIGKILL")


@each_way
def test_a_timeout_travels(way: Callable[[Any], Any]) -> None:
    error = TaskTimeout(1.5, 7, "f()", 4, "o\n")
    error.add_note("a note")
    other = way(error)
    assert type(other) is TaskTimeout
    assert vars(other) == vars(error)
    assert (str(other), repr(other)) == (str(error), "TaskTimeout(1.5, 7, 'f()', 4)")


def test_a_timeout_in_words() -> None:
    assert str(TaskTimeout(0.5, 7, "f in a map", 4, "o\n")) == (
        "f in a map at item 4 was still running at its timeout of 0.5 s, and was stopped (in "
        "worker 7)\nThe last that it printed:\n  o"
    )
    assert str(TaskTimeout(None, 7, "f()")) == (
        "f() was still running at its timeout, and was stopped (in worker 7)"
    )


def test_what_the_worker_does_not_know_is_told_later() -> None:
    error = TaskTimeout(None, 7, "f", output="o\n")
    error.locate(0.5, "f in a map", 4)
    assert repr(error) == "TaskTimeout(0.5, 7, 'f in a map', 4)"
    assert str(error) == str(TaskTimeout(0.5, 7, "f in a map", 4, "o\n"))


def test_a_timeout_is_caught_as_all_are() -> None:
    assert procession.TaskTimeout is TaskTimeout
    assert TaskTimeout.__module__ == "procession"
    error = TaskTimeout(1, 2, "f()")
    assert isinstance(error, concurrent.futures.TimeoutError)
    assert isinstance(error, TimeoutError)
    assert not isinstance(error, procession.TimeoutError)  # which is of the caller's own waiting
    assert error.errno is None
