"""Start methods that procession lacks: its Process, started by the standard library.

After ``multiprocessing.set_start_method("spawn")`` a program's ``multiprocessing.Process``, which
is ours, is to start that way. So a process of the standard library is started in its place, which
becomes our process in the child.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from procession import process
from procession._cli import original
from procession._launch import methods

_METHODS = ("spawn", "forkserver")


def register() -> None:
    """Enter the start methods that are missing into the table."""
    for method in _METHODS:
        if method not in methods.available():
            methods.register(method, partial(_launch, method))


class _Child:
    """A process of the standard library's, as the launch contract wants it."""

    def __init__(self, started: Any) -> None:
        self._process = started
        self._popen = started._popen
        self.pid: int = started.pid
        self.sentinel: int = started.sentinel

    def poll(self) -> int | None:
        code: int | None = self._popen.poll()
        return code

    def wait(self, timeout: float | None = None) -> int | None:
        code: int | None = self._popen.wait(timeout)
        return code

    def send_signal(self, signum: int) -> None:
        self._popen._send_signal(signum)

    def close(self) -> None:
        self._process.close()


def _launch(method: str, startable: methods.Startable) -> _Child:
    start_class = original.load("context")._concrete_contexts[method].Process
    # The same state, number and name included; but what it runs is to become ours.
    stand_in = start_class.__new__(start_class)
    vars(stand_in).update(vars(startable))
    stand_in._target, stand_in._args, stand_in._kwargs = _be, (startable,), {}
    stand_in.start()
    # It is ours to end.
    original.load("process")._children.discard(stand_in)
    return _Child(stand_in)


def _be(started: process.BaseProcess) -> None:
    """In the child: be the process that the program started, and run it."""
    theirs: Any = original.load("process")
    process._current_process = theirs._current_process = started
    started.run()
