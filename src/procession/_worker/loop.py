"""A worker's life: take the seat, initialise, claim and answer until no task is left."""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from procession import _core
from procession._codec import messages
from procession._codec.exceptions import encode_exception
from procession._core import Channel
from procession._worker.invoke import Invoker


class Seat(NamedTuple):
    """What a worker is given: its place in the channel, and what its pool asked for."""

    channel: Channel
    number: int
    initializer: Callable[..., object] | None
    initargs: tuple[Any, ...]
    max_tasks: int | None
    signal_mask: frozenset[int]
    settle: Callable[[], object]
    """Makes the worker's surroundings; to be called first."""

    imported: Callable[[], object]
    """To be called when a task has imported something."""


class Travelling(Protocol):
    """A descriptor on its way into this process."""

    def detach(self) -> int:
        """Its number here."""


def attach(block: int, bell: Travelling) -> Channel:
    """The channel, for a worker that is no copy of its parent."""
    return Channel.attach(block, bell.detach())


def _leave_interrupts_to_the_parent() -> None:
    """Ctrl-C reaches the whole foreground group: the parent decides what becomes of us.

    A handler of our own, not SIG_IGN: programs that a task starts must not inherit a deaf ear.
    """
    signal.signal(signal.SIGINT, lambda *_: None)


def work(seat: Seat) -> int:
    """Serve tasks until the channel is closed or the seat's number of tasks is reached.

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
        seat.settle()
        if seat.initializer is not None:
            seat.initializer(*seat.initargs)
    except BaseException as error:
        failure = encode_exception(error, skip_frames=1)
        channel.answer(0, messages.INITIALIZER_FAILED, failure)
        return 1
    channel.answer(0, messages.READY, b"")
    invoke = Invoker(channel).invoke
    left = -1 if seat.max_tasks is None else seat.max_tasks
    loaded = len(sys.modules)
    while left:
        task = channel.claim()
        if task is None:
            break
        number, kind, function, code, payload = task
        answer, content = invoke(kind, function, code, payload)
        del task, payload
        try:
            channel.answer(number, answer, content)
        except MemoryError as error:
            channel.answer(number, messages.ERROR, encode_exception(error))
        left -= 1
        if len(sys.modules) != loaded:
            seat.imported()
            loaded = len(sys.modules)
    return 0
