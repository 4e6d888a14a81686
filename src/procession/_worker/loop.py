"""A worker's life: take the seat, initialise, claim and answer until no task is left."""

from __future__ import annotations

import functools
import gc
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from procession import _core
from procession._codec import messages
from procession._codec.exceptions import encode_exception
from procession._core import Channel
from procession._worker.diary import Diary, Travelling
from procession._worker.growth import Growth
from procession._worker.invoke import Answer, Invoker
from procession._worker.logs import ship
from procession._worker.output import end_lines, unfinished, watch
from procession._worker.state import here
from procession._worker.stopping import listen


class Seat(NamedTuple):
    """What a worker is given: its place in the channel, and what its pool asked for."""

    channel: Channel
    number: int
    initializer: Callable[..., object] | None
    initargs: tuple[Any, ...]
    max_tasks: int | None
    """After so many tasks it leaves. It announces that it retires when it claims the last one."""

    signal_mask: frozenset[int]
    settle: Callable[[], object]
    """Makes the worker's surroundings; to be called first."""

    imported: Callable[[], object]
    """To be called when a task has imported something."""

    finalizer: Callable[[], object] | None = None
    """To be called before an orderly end; what it raises ends the process as everywhere."""

    max_memory: int | None = None
    """Bytes by which it may grow while it works; once it has, it announces that it retires."""

    output: Literal["plain", "tagged"] = "plain"
    logs: int | None = None
    """The level from which on log records go to the parent; None: they stay here."""

    diary: Diary | None = None
    """Where its last words are kept."""


def attach(block: int, bell: Travelling) -> Channel:
    """The channel, for a worker that is no copy of its parent."""
    return Channel.attach(block, bell.detach())


def work(seat: Seat) -> int:
    """Serve tasks until the channel is closed or the seat's number of tasks is reached.

    A child that a task forks, and that returns from the task's function, comes to its end instead:
    what it would do next in here raises SystemExit.

    Returns:
        The exit code for this process: 0, or 1 when the initializer raised (which the
        parent is told).
    """
    channel = seat.channel
    gc.freeze()  # the parent's garbage is not ours to collect, and its pages stay shared
    _leave_interrupts_to_the_parent()
    # Only now: an interrupt before would have been one of ours.
    signal.pthread_sigmask(signal.SIG_SETMASK, seat.signal_mask)
    _core.join()
    channel.sit(seat.number)
    try:
        _move_in(seat)
        seat.settle()
        if seat.initializer is not None:
            here.state = seat.initializer(*seat.initargs)
            end_lines()
    except BaseException as error:
        if channel.forked():
            raise
        failure = encode_exception(error, skip_frames=1)
        channel.answer(0, messages.INITIALIZER_FAILED, failure)
        return 1
    _announce(channel, messages.READY)
    _serve(seat)
    if seat.finalizer is not None:
        seat.finalizer()
    return 0


def _serve(seat: Seat) -> None:
    channel = seat.channel
    invoker = Invoker(channel)
    invoke, known = invoker.invoke, invoker.known
    left = -1 if seat.max_tasks is None else seat.max_tasks
    growth = None if seat.max_memory is None else Growth(seat.max_memory)
    loaded = len(sys.modules)

    next_task: Callable[[], Any] = channel.claim
    if seat.max_tasks is None and growth is None:
        # The hot path: the core runs what is simple.
        answer = functools.partial(_answer, channel)
        next_task = functools.partial(
            channel.serve, known, here, unfinished, invoker.outcome, answer
        )
    while left:
        task = next_task()
        if task is None:
            break
        if task is not True:
            number, kind, function, code, payload, first, _ = task
            if left == 1:
                _announce(channel, messages.RETIRING)
            here.function = function
            here.number = number
            outcome = invoke(kind, function, code, payload, first)
            del task, payload
            _answer(channel, number, outcome)
            outcome = None  # what lies beside it is not to be kept until the next task
            left -= 1
        if len(sys.modules) != loaded:
            seat.imported()
            loaded = len(sys.modules)
        if growth is not None and growth.is_too_much():
            _announce(channel, messages.RETIRING)
            growth = None


def _answer(channel: Channel, number: int, outcome: Answer | None) -> None:
    """Answer the task, if it is not answered by now; it is over."""
    if unfinished:
        end_lines()
    here.number = 0
    if outcome is not None:
        try:
            channel.answer(number, *outcome)
        except MemoryError as error:
            channel.answer(number, messages.ERROR, encode_exception(error))


def _announce(channel: Channel, kind: int) -> None:
    """Tell the supervisor, also if nobody else waits for news."""
    channel.answer(0, kind, b"")
    channel.alert()


def _leave_interrupts_to_the_parent() -> None:
    """Ctrl-C reaches the whole foreground group: the parent decides what becomes of us.

    A handler of our own, not SIG_IGN: programs that a task starts must not inherit a deaf ear.
    """
    signal.signal(signal.SIGINT, lambda *_: None)


def _move_in(seat: Seat) -> None:
    """Become the worker of this seat, before any code of the user's runs."""
    here.seat = seat.number
    _be_no_worker_in_children()
    listen(seat.channel)
    if seat.diary is not None:
        here.page = seat.diary.open(seat.number)
        here.page.keep_stacks()
    watch(here.page, tagged=seat.output == "tagged")
    if seat.logs is not None:
        ship(seat.channel, seat.logs)


@functools.cache
def _be_no_worker_in_children() -> None:
    os.register_at_fork(after_in_child=here.leave)
