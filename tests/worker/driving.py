"""A worker whose parent is the test: tasks go in and answers come out by the channel itself."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from procession._codec import messages
from procession._codec.buffers import dumps_items
from procession._codec.exceptions import decode_exception
from procession._codec.functions import CARRIED, FunctionTable, Sent
from procession._codec.objects import dumps, loads
from procession._core import Channel, decode_outcomes
from procession._worker.loop import Seat, work

RING = 1 << 18
CHUNKS = (messages.MAP, messages.STARMAP, messages.EACH, messages.STAREACH)
PATIENCE = 1.0
"""Seconds after which a wait looks whether the worker is alive."""


class Entry:
    """What stands in the ledger."""

    answer: object = None
    attend = True
    block = 0

    def __init__(self, number: int) -> None:
        self.number = number


class News(NamedTuple):
    """What the worker sent: `number` is that of a task, or 0."""

    number: int
    kind: int
    payload: bytes
    first: int
    end: int

    @property
    def value(self) -> Any:
        """A single call's result."""
        assert self.kind == messages.VALUE, self
        return loads(self.payload)

    @property
    def error(self) -> Any:
        """What was raised."""
        assert self.kind in (messages.ERROR, messages.ARGUMENTS_BY_VALUE), self
        return decode_exception(self.payload)

    @property
    def outcomes(self) -> list[Any]:
        """A range's results, with errors in the place of those that failed."""
        assert self.kind & ~messages.PART == messages.OUTCOMES, self
        failures: list[Any] = []
        values = decode_outcomes(self.payload, loads, failures)
        for place, failure in failures:
            is_encoded = isinstance(failure, bytes)
            values[place] = decode_exception(failure) if is_encoded else failure
        return values


class Driven:
    """A channel with one worker, a forked child.

    Args:
        asked: what its seat says: ``finalizer``, ``output`` and so on.
    """

    def __init__(self, **asked: Any) -> None:
        self.asked = asked
        self.bell = os.eventfd(0)
        self.channel = Channel(1, RING, RING, 1, self.bell)
        self.functions = FunctionTable(self.channel)
        self.open: dict[int, Any] = {}
        self.arrivals: deque[Any] = deque()
        self.last = 0
        self.pid = 0
        self.before: Callable[[], object] = lambda: None  # in the worker, before all else

    def start(self, *, ready: bool = True) -> None:
        """Start the worker, and see that it is ready."""
        seat = Seat(
            self.channel,
            0,
            self.asked.pop("initializer", None),
            self.asked.pop("initargs", ()),
            self.asked.pop("max_tasks", None),
            frozenset(),
            self.asked.pop("settle", lambda: None),
            lambda: None,
            **self.asked,
        )
        self.pid = os.fork()
        if not self.pid:
            code = 99
            with contextlib.suppress(BaseException):
                self.before()
                code = work(seat)
            os._exit(code)
        if ready:
            assert self.next().kind == messages.READY

    def send(
        self, kind: int, function: Callable[..., Any], content: Any, first: int = 0, end: int = 1
    ) -> int:
        """Send a task, its arguments in the form that its kind has; its number."""
        what = kind & messages.KIND_MASK
        if what == messages.CARRIED_CALL:
            return self.submit(kind, CARRIED, dumps((function, *content)))
        sent = self.functions.find(function) or self.functions.publish(function, self.last)
        assert sent is not None
        payload = dumps_items(content) if what in CHUNKS else dumps(content)
        return self.submit(kind, sent, payload, first, end)

    def submit(self, kind: int, sent: Sent, payload: bytes, first: int = 0, end: int = 1) -> int:
        """Send a record; its number."""
        self.last = number = self.last + 1
        entry = Entry(number)
        assert self.channel.submit(entry, self.open, number, kind, *sent, payload, first, end)
        return number

    def call(self, function: Callable[..., Any], *args: Any, flags: int = 0) -> int:
        """Send a single call."""
        return self.send(messages.CALL | flags, function, (args, {}))

    def each(self, function: Callable[..., Any], items: list[Any], flags: int = 0) -> int:
        """Send items with an outcome for each."""
        return self.send(messages.EACH | flags, function, items, 0, len(items))

    def next(self) -> News:
        """What comes next."""
        nobody = Entry(0)
        while not self.arrivals:
            wakes = self.channel.wakes()
            self.channel.wait(nobody, self.open, self.arrivals, PATIENCE, wakes)
            if not self.arrivals:
                os.kill(self.pid, 0)
                assert os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        entry, kind, payload, _, first, end = self.arrivals.popleft()
        return News(0 if entry is None else entry.number, kind, payload, first, end)

    def stop(self, number: int) -> None:
        """Ask a task to stop."""
        self.channel.stop(0, number)
        os.kill(self.pid, signal.SIGURG)

    def ended(self) -> int:
        """Wait for its end; its exit code, negative for a signal."""
        pid, self.pid = self.pid, 0
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def end(self) -> int:
        """Let it come to its end; its exit code."""
        self.channel.close()
        return self.ended()

    def dismiss(self) -> None:
        """Give everything back."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            self.ended()
        self.channel.collect(self.open, self.arrivals)
        self.channel.bury(0)
        self.functions.free_all()
        self.channel.release()
        os.close(self.bell)


@contextlib.contextmanager
def driven(*, start: bool = True, **asked: Any) -> Iterator[Driven]:
    """One worker, gone at the end."""
    worker = Driven(**asked)
    try:
        if start:
            worker.start()
        yield worker
    finally:
        worker.dismiss()
