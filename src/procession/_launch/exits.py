"""What is to run when this process ends, in which order.

Order, in the main process (through ``atexit``) as in a forked child (at the end of its run):

1. registered functions with priority >= 0, the highest first, the younger first among equals;
2. this process's children: daemonic ones are terminated, the others joined;
3. the registered functions with a negative priority.

A registration belongs to the process that made it: a forked child starts with none.
"""

from __future__ import annotations

import atexit
import itertools
import os
import traceback
from collections.abc import Callable

_serial = itertools.count()
_handles: dict[int, ExitHandle] = {}
_end_children: Callable[[], None] | None = None


class ExitHandle:
    """One registered function; cancel() takes it back."""

    __slots__ = ("function", "priority", "serial")

    def __init__(self, function: Callable[[], object], priority: int) -> None:
        self.function = function
        self.priority = priority
        self.serial = next(_serial)

    def cancel(self) -> None:
        """Forget the registration. No error if it has run, or if it belongs to the parent."""
        if _handles.get(self.serial) is self:
            _handles.pop(self.serial, None)


def register_exit(function: Callable[[], object], *, priority: int) -> ExitHandle:
    """Run `function` without arguments when this process ends.

    An exception in it is printed and does not keep the others from running.
    """
    handle = ExitHandle(function, priority)
    _handles[handle.serial] = handle
    return handle


def set_child_ender(function: Callable[[], None]) -> None:
    """Say how step 2 is done. It outlives a fork: every process has children of its own."""
    global _end_children
    _end_children = function


def run() -> None:
    """Run the three steps. What has run is forgotten, so a second call finds nothing to do."""
    _run_registered(minimum=0)
    if _end_children is not None:
        _run_one(_end_children)
    _run_registered(minimum=None)


def _run_registered(minimum: int | None) -> None:
    # Chosen afresh each time: a function may cancel others, or register more.
    while True:
        due = [h for h in list(_handles.values()) if minimum is None or h.priority >= minimum]
        if not due:
            return
        handle = max(due, key=lambda h: (h.priority, h.serial))
        handle.cancel()
        _run_one(handle.function)


def _run_one(function: Callable[[], object]) -> None:
    try:
        function()
    except BaseException:
        # Also KeyboardInterrupt: an impatient user must not make the later steps disappear.
        traceback.print_exc()


atexit.register(run)
os.register_at_fork(after_in_child=_handles.clear)
