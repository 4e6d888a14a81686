"""The errors of pools: whose fault it was, and which task it concerns."""

from __future__ import annotations

import signal
from concurrent.futures.process import BrokenProcessPool


class RemoteTraceback(Exception):
    """The traceback of a worker, as text; the ``__cause__`` of an error raised there."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.tb = text

    def __str__(self) -> str:
        return self.tb


class RemoteError(Exception):
    """A task raised something that can not be pickled, or not be unpickled here.

    Attributes:
        type_name: the qualified name of what was raised.
        text: ``str()`` of it.
        notes: its ``__notes__``.
        traceback: the worker's traceback, as text (also as ``__cause__``).
    """

    def __init__(self, type_name: str, text: str, notes: list[str], traceback: str) -> None:
        super().__init__(type_name, text, notes, traceback)
        self.type_name = type_name
        self.text = text
        self.notes = notes
        self.traceback = traceback

    def __str__(self) -> str:
        return "\n".join([f"{self.type_name}: {self.text}", *self.notes])


class MaybeEncodingError(Exception):
    """A task's result can not be pickled (as ``multiprocessing.pool.MaybeEncodingError``).

    Attributes:
        exc: ``repr()`` of the pickling error.
        value: ``repr()`` of the result.
    """

    def __init__(self, exc: object, value: object) -> None:
        self.exc = exc if isinstance(exc, str) else repr(exc)
        self.value = value if isinstance(value, str) else repr(value)
        super().__init__(self.exc, self.value)

    def __str__(self) -> str:
        return f"Error sending result: '{self.value}'. Reason: '{self.exc}'"

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self}>"


def describe_exit(exitcode: int | None) -> str:
    """An exit code in words: ``"killed by SIGKILL"``, ``"exit code 3"``."""
    if exitcode is None:
        return "ended in an unknown way"
    if exitcode >= 0:
        return f"exit code {exitcode}"
    try:
        return f"killed by {signal.Signals(-exitcode).name}"
    except ValueError:
        return f"killed by signal {-exitcode}"


class WorkerDied(BrokenProcessPool):
    """The worker that ran this task ended before it answered; the pool goes on.

    It is a ``BrokenProcessPool``, so that programs written for ``ProcessPoolExecutor``
    catch it, although nothing but this task is broken.

    Attributes:
        pid: the worker's process id.
        exitcode: its exit code; negative for the signal that killed it.
        signal: that signal's name, or None.
        task: what it ran, in short.
        item: which item of a chunk it was at, from 0 within the call; None for a single call.
    """

    def __init__(self, pid: int, exitcode: int | None, task: str, item: int | None = None) -> None:
        super().__init__(pid, exitcode, task, item)
        self.pid = pid
        self.exitcode = exitcode
        self.task = task
        self.item = item

    @property
    def signal(self) -> str | None:
        """The name of the signal that ended the worker, or None."""
        if self.exitcode is None or self.exitcode >= 0:
            return None
        return describe_exit(self.exitcode).removeprefix("killed by ")

    def __str__(self) -> str:
        where = "" if self.item is None else f" at item {self.item}"
        return (
            f"worker {self.pid} died ({describe_exit(self.exitcode)}) while it ran "
            f"{self.task}{where}; no other task is affected"
        )


class InitializerFailed(BrokenProcessPool):
    """The pool's initializer raised, or its workers end before they are ready.

    ``__cause__`` is what the initializer raised, where that is known.
    """

    encoded_cause: bytes | None = None  # until somebody asks


class PoolTerminated(BrokenProcessPool):
    """The pool was terminated before this task was answered."""


for _error in (RemoteError, MaybeEncodingError, WorkerDied, InitializerFailed, PoolTerminated):
    _error.__module__ = "procession"  # the name to catch it by, in tracebacks and pickles

__all__ = [
    "InitializerFailed",
    "MaybeEncodingError",
    "PoolTerminated",
    "RemoteError",
    "RemoteTraceback",
    "WorkerDied",
    "describe_exit",
]
