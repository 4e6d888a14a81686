"""The ends of a queue, for programs that take it for a pipe.

The standard library's queues have ``_reader`` and ``_writer``, and programs wait for the first
beside sentinels and connections. Ours is asked whether there is anything (``_is_ready``, see
``_transport.waiting``). To whoever insists on a descriptor, for a ``select()`` of its own, one is
given: an eventfd that a thread keeps readable while there is something to get. The thread begins
with the first ``fileno()``, and ends with the queue or with ``close()``. It notices within ``STEP``
what other processes take out, so the descriptor may be readable for that long with nothing there;
``poll()`` is exact.
"""

from __future__ import annotations

import math
import os
import threading
import time
import weakref
from types import GenericAlias
from typing import Any, Protocol

from procession import _core
from procession._codec.objects import dumps, loads
from procession._threads import Thread

STEP = 0.005
"""Seconds from one look to the next, while the descriptor is readable."""
PATIENCE = 0.2
"""Seconds that the thread sleeps at most while it is not; then it looks whether it is needed."""


class Source(Protocol):
    """What an end needs of its queue."""

    def get(self) -> Any:
        """Take an object out."""

    def put(self, obj: Any, /) -> None:
        """Put an object in."""

    def close(self) -> None:
        """No more of either here."""

    def _is_closed(self) -> bool: ...

    def _is_ready(self) -> bool: ...

    def _await(self, timeout: float, /) -> bool: ...

    def _poke(self) -> None: ...

    def _signal(self, descriptor: int, /) -> bool: ...


class _Signal:
    """An eventfd that is readable while a queue has something, and the thread that sees to it."""

    def __init__(self, queue: Source) -> None:
        self.process = os.getpid()
        self.descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.queue = weakref.ref(queue)
        self.ended = False
        queue._signal(self.descriptor)
        self.thread = Thread(target=self._keep, name="procession-queue-signal", daemon=True)
        self.thread.start()

    def end(self) -> None:
        """Close the descriptor."""
        self.ended = True
        if self.process != os.getpid():  # the thread is the parent's
            os.close(self.descriptor)
        elif (queue := self.queue()) is not None:
            queue._poke()
            self.thread.join()

    def _keep(self) -> None:
        try:
            while not self.ended and (queue := self.queue()) is not None:
                if queue._signal(self.descriptor):
                    del queue
                    threading.Event().wait(STEP)
                else:
                    queue._await(PATIENCE)
                    del queue
        finally:
            if (queue := self.queue()) is not None:
                queue._signal(-1)
            os.close(self.descriptor)


class _End:
    def __init__(self, queue: Source) -> None:
        self._queue = weakref.ref(queue)
        self._is_shut = False

    @property
    def closed(self) -> bool:
        """Whether it can not be used any more."""
        queue = self._queue()
        return self._is_shut or queue is None or queue._is_closed()

    def _open(self) -> Source:
        queue = self._queue()
        if queue is None or self._is_shut or queue._is_closed():
            raise OSError("handle is closed")
        return queue

    def close(self) -> None:
        """Have this process use it no more."""
        self._is_shut = True


class WritableEnd(_End):
    """Where objects go in."""

    readable, writable = False, True

    def send(self, obj: Any) -> None:
        """Put an object in. Raises OSError if it is closed."""
        self._open().put(obj)

    def send_bytes(self, buf: bytes | memoryview, offset: int = 0, size: int | None = None) -> None:
        """Put in the object of which this is the pickle, or `size` bytes of it from `offset`.

        Raises OSError if it is closed, and what unpickling raises.
        """
        queue = self._open()
        view = memoryview(buf)[offset:]
        queue.put(loads(view if size is None else view[:size]))


class ReadableEnd(_End):
    """Where objects come out."""

    readable, writable = True, False
    _kept: _Signal | None = None

    def recv(self) -> Any:
        """Take an object out. Raises OSError if it is closed."""
        return self._open().get()

    def recv_bytes(self) -> bytes:
        """Take an object out, as its pickle. Raises OSError if it is closed."""
        return dumps(self._open().get())

    def poll(self, timeout: float | None = 0.0) -> bool:
        """Whether there is an object; wait so many seconds for it (None: as long as it takes).

        Raises OSError if it is closed.
        """
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while not (ready := self._is_ready()) and (left := deadline - time.monotonic()) > 0:
            self._open()._await(min(left, PATIENCE))
        return ready

    def _is_ready(self) -> bool:
        return self._open()._is_ready()

    def fileno(self) -> int:
        """A descriptor that is readable while there is something. Raises OSError if closed."""
        queue = self._open()
        if self._kept is not None and self._kept.process != os.getpid():
            self._kept.end()  # a forked child's copy: no thread of ours sees to it
            self._kept = None
        if self._kept is None:
            self._kept = _Signal(queue)
        return self._kept.descriptor

    def close(self) -> None:
        """Have this process use it no more."""
        super().close()
        if self._kept is not None:
            self._kept.end()
            self._kept = None


class Ends:
    """For the queues: their two ends, and how they travel."""

    _readable: ReadableEnd | None = None
    _writable: WritableEnd | None = None
    # What a subclass has put in their places, for its own use: it does not travel.
    _other_reader: Any = None
    _other_writer: Any = None

    @property
    def _reader(self: Any) -> Any:
        if self._other_reader is not None:
            return self._other_reader
        if self._readable is None:
            self._readable = ReadableEnd(self)
        return self._readable

    @_reader.setter
    def _reader(self, end: Any) -> None:
        self._other_reader = end

    @property
    def _writer(self: Any) -> Any:
        if self._other_writer is not None:
            return self._other_writer
        if self._writable is None:
            self._writable = WritableEnd(self)
        return self._writable

    @_writer.setter
    def _writer(self, end: Any) -> None:
        self._other_writer = end

    def _close_ends(self: Any) -> None:
        if self._readable is not None:
            self._readable.close()
        self._close()

    def __reduce__(self: Any) -> tuple[Any, ...]:
        """For pickle: a handle on the same queue, for processes of the family."""
        state = self.__getstate__()
        made = (_core.arrive, (type(self), self._travel()))
        return (*made, state) if state else made

    def __getstate__(self) -> tuple[Any, ...]:
        """What a subclass has travel besides: none here, for it to add to."""
        return ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """What ``__getstate__`` gave has arrived."""

    def __class_getitem__(cls, item: Any) -> GenericAlias:
        """``Queue[int]``, for annotations."""
        return GenericAlias(cls, item)
