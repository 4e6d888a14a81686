"""Payloads whose buffers are apart: what stands where in them, and a worker that sends some."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from procession._core import Channel

RING = 1 << 18
PATIENCE = 1.0
"""Seconds after which a wait looks whether the worker is alive."""


def opened(payload: Any, sizes: Sequence[int]) -> tuple[bytes, list[memoryview]]:
    """The body, and the buffers, whose sizes the body would tell."""
    view = memoryview(payload).cast("B")
    at = 8 + int.from_bytes(view[:8], "little")
    body, buffers = bytes(view[8:at]), []
    for size in sizes:
        at = -(-at // 64) * 64
        buffers.append(view[at : at + size])
        at += size
    assert at == len(view)
    return body, buffers


def pattern(number: int, size: int) -> bytes:
    """Bytes that are not those of another number or place."""
    return bytes((number + at * 7) % 251 for at in range(min(size, 251))) * (size // 251 + 1)


class Entry:
    """What stands in the ledger."""

    answer: Any = None
    attend = True
    block = 0

    def __init__(self, number: int) -> None:
        self.number = number


class Sender:
    """A channel, and a forked worker that runs `serve` for each task that it claims."""

    def __init__(self) -> None:
        self.bell = os.eventfd(0)
        self.channel = Channel(1, RING, RING // 4, 1, self.bell)
        self.open: dict[int, Any] = {}
        self.arrivals: deque[Any] = deque()
        self.numbers = itertools.count(1)
        self.pid = 0

    def start(self, serve: Callable[[Channel, int, int], object]) -> None:
        """Fork the worker; serve(channel, number, items) is to answer."""
        self.pid = os.fork()
        if self.pid:
            return
        code = 1
        try:
            self.channel.sit(0)
            while (task := self.channel.claim()) is not None:
                serve(self.channel, task[0], task[6] - task[5])
            code = 0
        finally:
            os._exit(code)

    def submit(self, items: int = 1) -> Entry:
        """Send a task without any content; how many items it has is all that it says."""
        entry = Entry(next(self.numbers))
        assert self.channel.submit(entry, self.open, entry.number, 0, 1, 0, b"", 0, items)
        return entry

    def arrived(self) -> tuple[Any, ...]:
        """(number, kind, payload, first, end) of what comes next."""
        nobody = Entry(0)
        while not self.arrivals:
            wakes = self.channel.wakes()
            self.channel.wait(nobody, self.open, self.arrivals, PATIENCE, wakes)
            if not self.arrivals:
                assert os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        entry, kind, payload, _, first, end = self.arrivals.popleft()
        return entry.number, kind, payload, first, end

    def ended(self) -> int:
        """Wait for the worker's end; its exit code, negative for a signal."""
        pid, self.pid = self.pid, 0
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def end(self) -> int:
        """Let the worker come to its end; its exit code."""
        self.channel.close()
        return self.ended()

    def dismiss(self) -> None:
        """Give everything back."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            self.ended()
        self.channel.collect(self.open, self.arrivals)
        self.channel.bury(0)
        self.channel.release()
        self.arrivals.clear()
        os.close(self.bell)


@contextlib.contextmanager
def sender(serve: Callable[[Channel, int, int], object]) -> Iterator[Sender]:
    """A worker that answers so, gone at the end."""
    made = Sender()
    try:
        made.start(serve)
        yield made
    finally:
        made.dismiss()
