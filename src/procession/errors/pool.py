"""The errors of pools: whose fault it was, and which task it concerns."""

from __future__ import annotations

import pickle
import signal
from concurrent.futures.process import BrokenProcessPool
from typing import Any

_LINES_SHOWN = 10  # of a worker's last output, in a message


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


class MaybeEncodingError(pickle.PicklingError):
    """A task's result can not be pickled (as ``multiprocessing.pool.MaybeEncodingError``).

    It is a ``PicklingError``, which is what programs written for ``ProcessPoolExecutor`` expect.

    Attributes:
        exc: ``repr()`` of the pickling error.
        value: ``repr()`` of the result; its type where that fails, being nested too deeply.
    """

    def __init__(self, exc: object, value: object) -> None:
        self.exc = _shown(exc)
        self.value = _shown(value)
        super().__init__(self.exc, self.value)

    def __str__(self) -> str:
        return f"Error sending result: '{self.value}'. Reason: '{self.exc}'"

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self}>"


def _shown(what: object) -> str:
    if isinstance(what, str):
        return what
    try:
        return repr(what)
    except Exception as error:
        return f"<{type(what).__qualname__} object, whose repr() raised {type(error).__name__}>"


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
        pid: the worker's process id; None where the pool's engine does not tell.
        exitcode: its exit code; negative for the signal that killed it.
        signal: that signal's name, or None.
        task: what it ran, in short.
        item: which item of a chunk it was at, from 0 within the call; None for a single call.
        cause: why it ended, as far as that can be told, in words; or None.
        output: the last lines that it printed, at most 4 KiB; may be empty.
        stack: where it was in Python when a fatal signal came, as faulthandler prints it; may
            be empty.
        attempts: how often the task was started, this time included.
        quarantined: whether it may be run again no more, because it has killed too many workers.
        broke_pool: whether the pool is broken by it, because that was asked for.
        node: the machine that it ran on, where the pool's engine tells; else None.
        chunk: how many items failed together: 1, but where the pool's engine does not tell at which
            item of a chunk the worker was.
    """

    broke_pool = False
    chunk = 1

    def __init__(
        self,
        pid: int | None,
        exitcode: int | None,
        task: str,
        item: int | None = None,
        *,
        cause: str | None = None,
        output: str = "",
        stack: str = "",
        attempts: int = 1,
        quarantined: bool = False,
        node: str | None = None,
    ) -> None:
        super().__init__(pid, exitcode, task, item)
        self.pid = pid
        self.exitcode = exitcode
        self.task = task
        self.item = item
        self.cause = cause
        self.output = output
        self.stack = stack
        self.attempts = attempts
        self.quarantined = quarantined
        self.node = node

    @property
    def signal(self) -> str | None:
        """The name of the signal that ended the worker, or None."""
        if self.exitcode is None or self.exitcode >= 0:
            return None
        return describe_exit(self.exitcode).removeprefix("killed by ")

    def __str__(self) -> str:
        who = "a worker" if self.pid is None else f"worker {self.pid}"
        where = "" if self.node is None else f" on {self.node}"
        how = "" if self.exitcode is None else f" ({describe_exit(self.exitcode)})"
        text = f"{who}{where} died{how} while it ran {self.task}{_at(self.item)}; "
        if self.broke_pool:
            text += "the pool is broken by it"
        elif self.chunk == 1:
            text += "no other task is affected"
        else:
            text += (
                f"all {self.chunk} items of its chunk share its fate, for the engine does not tell "
                "at which of them the worker was (retries run each by itself); no other is affected"
            )
        if self.cause:
            text += f". Likely cause: {self.cause}"
        if self.quarantined:
            text += f". It has ended {self.attempts} workers so far, and is not run again"
        elif self.attempts > 1:
            text += f". It was run {self.attempts} times"
        return text + _last_lines(self.output)


class TaskTimeout(TimeoutError):
    """A task ran for longer than its ``timeout``, and was stopped; the pool goes on.

    With a ``grace``, it is raised in the task itself first, which may catch it and clean up.

    Attributes:
        timeout: the seconds that it was given; None where that is not known.
        pid: process id of the worker that ran it; None where the pool's engine does not tell.
        task: what it ran, in short.
        item: which item of a chunk it was at, from 0 within the call; None for a single call.
        output: the last lines that the worker printed, at most 4 KiB; may be empty.
        runs_on: it was given up, but goes on: the pool's engine can not stop what runs.
    """

    runs_on = False

    def __init__(
        self,
        timeout: float | None,
        pid: int | None,
        task: str,
        item: int | None = None,
        output: str = "",
    ) -> None:
        super().__init__()  # with more, OSError would take them for an errno and its text
        self.pid = pid
        self.output = output
        self.locate(timeout, task, item)

    def locate(self, timeout: float | None, task: str, item: int | None) -> None:
        """Say where it was, which the worker in which this may be raised does not know.

        Not for users.
        """
        self.timeout = timeout
        self.task = task
        self.item = item
        self.args = (timeout, self.pid, task, item)

    def __reduce__(self) -> Any:
        return type(self), (self.timeout, self.pid, self.task, self.item, self.output), vars(self)

    def __str__(self) -> str:
        limit = "its timeout" if self.timeout is None else f"its timeout of {self.timeout:g} s"
        end = "is given up (the engine can not stop it)" if self.runs_on else "was stopped"
        where = "" if self.pid is None else f" (in worker {self.pid})"
        return (
            f"{self.task}{_at(self.item)} was still running at {limit}, and {end}{where}"
            + _last_lines(self.output)
        )


def _at(item: int | None) -> str:
    return "" if item is None else f" at item {item}"


def _last_lines(output: str) -> str:
    """The end of a message: what a worker printed last."""
    lines = output.rstrip().splitlines()[-_LINES_SHOWN:]
    if not lines:
        return ""
    return "\nThe last that it printed:" + "".join(f"\n  {line}" for line in lines)


class InitializerFailed(BrokenProcessPool):
    """The pool's initializer raised, or its workers end before they are ready.

    ``__cause__`` is what the initializer raised, where that is known.
    """

    encoded_cause: bytes | None = None  # until somebody asks


class PoolTerminated(BrokenProcessPool):
    """The pool was terminated before this task was answered."""


for _error in (
    RemoteError,
    MaybeEncodingError,
    WorkerDied,
    TaskTimeout,
    InitializerFailed,
    PoolTerminated,
):
    _error.__module__ = "procession"  # the name to catch it by, in tracebacks and pickles

__all__ = [
    "InitializerFailed",
    "MaybeEncodingError",
    "PoolTerminated",
    "RemoteError",
    "RemoteTraceback",
    "TaskTimeout",
    "WorkerDied",
    "describe_exit",
]
