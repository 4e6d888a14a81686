"""The start of a thread of ours, and what a signal handler raises in its midst."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

from procession._threads import Thread


class Interrupt(Exception):
    """What the handler raises."""


@pytest.fixture
def interrupted() -> Iterator[list[str]]:
    """Whoever waits at an Event is interrupted where that takes its lock again."""
    functions: list[str] = []

    def trace(frame: FrameType, event: str, argument: Any) -> None:
        functions.append(frame.f_code.co_name)
        if frame.f_code.co_name == "_acquire_restore":
            sys.settrace(None)
            raise Interrupt

    interval, before = sys.getswitchinterval(), sys.gettrace()
    sys.setswitchinterval(1000)  # the new thread runs when this one waits, not before
    sys.settrace(trace)
    yield functions
    sys.settrace(before)
    sys.setswitchinterval(interval)


def _start_while_handling(thread: Thread) -> None:
    try:
        raise KeyError
    except KeyError:
        thread.start()


starts = pytest.mark.parametrize("start", [Thread.start, _start_while_handling])


@starts
def test_what_a_handler_raises_comes_out(
    interrupted: list[str], start: Callable[[Thread], None]
) -> None:
    begun = threading.Event()
    thread = Thread(target=begun.set)
    with pytest.raises(Interrupt):
        start(thread)
    assert "_acquire_restore" in interrupted
    thread.join()
    assert begun.is_set()


@starts
def test_an_error_of_the_start_itself_stays(start: Callable[[Thread], None]) -> None:
    thread = Thread(target=str)
    thread.start()
    thread.join()
    with pytest.raises(RuntimeError, match="once"):
        start(thread)
