"""The child's side of every start: put a forked copy in order, run, leave with an exit code.

The steps of leaving, in order: report an exception; the exit functions and the children's end
(``exits``, and the stdlib's own if it is in use); join the threads that are not daemons; what was
registered with ``atexit`` in this process; the end of what these two have started; flush the
standard streams. Each step is taken whatever happened in those before it.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import atexit
import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from typing import NoReturn

from procession import _core
from procession._launch import exits, lifeline, stdlib, streams

_OWN_MODULES = frozenset(
    {__name__, "procession.process"}
    | {f"procession._launch.{name}" for name in ("arrival", "preparation")}
    | {"runpy"}
)
# The public function spends a tenth of a millisecond on making enums of the mask it returns.
set_signal_mask: Callable[[int, Iterable[int]], Iterable[int]] = _signal.pthread_sigmask
_FAILED = 1
_FLUSH_FAILED = 120  # what the interpreter itself uses for output lost at its exit


def live_as_fork(
    entry: Callable[[], int],
    name: str | Callable[[], str],
    *,
    parent_had_threads: bool,
    mask: Iterable[int],
) -> NoReturn:
    """Be the forked child from here to its end. Never returns, never raises.

    Signals are held back until everything is in order; `mask` is the mask that `entry` gets.
    """
    code = _FAILED

    def enter() -> int:
        set_signal_mask(signal.SIG_SETMASK, mask)
        return entry()

    try:
        lifeline.arm()
        enter_fork(parent_had_threads=parent_had_threads)
        code = run(enter, name)
    except BaseException:
        streams.report(traceback.format_exc())
    finally:
        os._exit(code & 0xFF)


def enter_fork(*, parent_had_threads: bool) -> None:
    """Put right what a fork copies but a new process must not have."""
    atexit._clear()
    # An event loop of the parent's: our signals must not wake it.
    signal.set_wakeup_fd(-1)
    streams.enter_child(parent_had_threads=parent_had_threads)
    _renew_native_id()
    stdlib.after_fork()


def run(entry: Callable[[], int], name: str | Callable[[], str]) -> int:
    """Run `entry` and all that belongs to a process's end; returns the exit code.

    An exception in `entry` gives 1 and is reported under `name`; SystemExit gives what it would
    give the interpreter.
    """
    code = _attempt(entry, name)
    steps: tuple[Callable[[], object], ...] = (
        exits.run,
        stdlib.run_exit_function,
        _join_threads,
        atexit._run_exitfuncs,
        exits.run,
    )
    for step in steps:
        try:
            step()
        except BaseException:
            _report(name)
            code = code or _FAILED
    try:
        streams.flush_output()
    except OSError:
        code = code or _FLUSH_FAILED
    _core.leave()
    return code


def _attempt(entry: Callable[[], int], name: str | Callable[[], str]) -> int:
    try:
        return entry()
    except SystemExit as error:
        if error.code is None:
            return 0
        if isinstance(error.code, int):
            return error.code
        streams.report(f"{error.code}\n")
    except BaseException as error:
        _report(name)
        exits.interrupted(error)
    return _FAILED


def _report(name: str | Callable[[], str]) -> None:
    """Print the current exception whole: in one write, not line by line among other output."""
    title = name if isinstance(name, str) else name()
    kind, error, trace = sys.exc_info()
    # The frames that led from the fork to the user's code are of no use to the user.
    inner = trace
    while inner is not None and inner.tb_frame.f_globals.get("__name__") in _OWN_MODULES:
        inner = inner.tb_next
    lines = traceback.format_exception(kind, error, inner or trace)
    # What the process printed before it failed comes before the report.
    with contextlib.suppress(AttributeError, ValueError, OSError):
        sys.stdout.flush()
    streams.report(f"Process {title}:\n{''.join(lines)}")


def _join_threads() -> None:
    # The interpreter's own way to wait for threads that are not daemons; there is no public one.
    threading._shutdown()  # type: ignore[attr-defined]


def _renew_native_id() -> None:
    # CPython renews the main thread's identifier after a fork, but not its kernel id.
    renew = getattr(threading.main_thread(), "_set_native_id", None)
    if renew is not None:
        renew()
