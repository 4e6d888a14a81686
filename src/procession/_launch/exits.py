"""What is to run when this process ends, in which order.

Order, in the main process (through ``atexit``) as in a forked child (at the end of its run):

1. registered functions with priority >= 0, the highest first, the younger first among equals;
2. this process's children: daemonic ones are terminated, the others joined;
3. the registered functions with a negative priority.

A registration belongs to the process that made it: a forked child starts with none.

The first interrupt (Ctrl-C) ends the program, or if that is just ending, one of the functions; the
children, who heard it too, are still waited for. The second one kills them.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import itertools
import os
import sys
import traceback
from collections.abc import Callable

_serial = itertools.count()
_handles: dict[int, ExitHandle] = {}
_end_children: Callable[[], object] | None = None
_kill_children: Callable[[], object] | None = None
_interrupts = 0  # how many have come
_is_killing = False
_unseen: KeyboardInterrupt | None = None  # the first, if its traceback is still to be shown


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


def set_child_ender(end: Callable[[], object], kill: Callable[[], object] | None = None) -> None:
    """Say how step 2 is done, and how if there is no time. Every process has children of its own:
    it outlives a fork."""
    global _end_children, _kill_children
    _end_children, _kill_children = end, kill


def interrupted(error: BaseException | None) -> None:
    """This has ended the program, and was reported: one interrupt, or one in the clean-up after
    another, or none."""
    global _interrupts
    while error is not None:
        _interrupts += isinstance(error, KeyboardInterrupt)
        error = error.__context__


def run() -> None:
    """Run the three steps. What has run is forgotten, so a second call finds nothing to do.

    Raises:
        KeyboardInterrupt: after all of it, the first one, if that came meanwhile.
    """
    global _unseen
    while True:
        try:
            _run_steps()
            break
        except KeyboardInterrupt as interrupt:  # between two functions
            _interrupted_here(interrupt)
    unseen, _unseen = _unseen, None
    if unseen is not None:
        raise unseen


def _run_steps() -> None:
    if _interrupts > 1 and _kill_children is not None:
        _run_one(_kill)
    _run_registered(minimum=0)
    if _end_children is not None:
        before = _interrupts
        _run_one(_end_children)
        if _interrupts == before + 1 == 1:
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
    except KeyboardInterrupt as interrupt:
        _interrupted_here(interrupt)
    except BaseException:
        traceback.print_exc()


def _interrupted_here(interrupt: KeyboardInterrupt) -> None:
    """No step is left out; but the second interrupt takes from them what they wait for."""
    global _interrupts, _unseen
    _interrupts += 1
    if _interrupts == 1:
        _unseen = interrupt
    elif _kill_children is not None:
        _kill()


def _kill() -> None:
    global _is_killing
    _is_killing = True
    if _kill_children is not None:
        _kill_children()


def check_start() -> None:
    """Raises OSError once this process's children are being killed: none is to take their place."""
    if _is_killing:
        raise OSError(errno.ECANCELED, "this process was interrupted twice, and is ending")


def _at_exit() -> None:
    interrupted(getattr(sys, "last_value", None))
    try:
        run()
    except KeyboardInterrupt:
        traceback.print_exc()
        # An interpreter ends itself by SIGINT if a text that it runs was interrupted; this is one.
        with contextlib.suppress(KeyboardInterrupt):
            exec("raise KeyboardInterrupt")


def _after_fork() -> None:
    global _interrupts, _unseen, _is_killing
    _handles.clear()
    _interrupts, _unseen, _is_killing = 0, None, False


atexit.register(_at_exit)
os.register_at_fork(after_in_child=_after_fork)
