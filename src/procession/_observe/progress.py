"""How far a call has come, shown while it runs.

A thread asks for the counts a few times a second and hands them to a bar: nothing is counted,
sent or drawn for each task. ``close`` may be called from anywhere: another thread, a signal
handler, a forked copy, the function that is being told, while the interpreter ends.
"""

from __future__ import annotations

import atexit
import os
import queue
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from functools import partial
from inspect import ismethod
from typing import Any

from procession._observe.progress_bars import (
    Bar,
    FunctionBar,
    LineBar,
    RichBar,
    TheirBar,
    TqdmBar,
    is_bar,
    is_open,
    is_rich,
    is_tqdm_class,
)
from procession._observe.progress_meter import Counts, Meter, Snapshot
from procession._threads import Thread, have_ended

__all__ = ["Counts", "Progress", "Snapshot", "check_progress", "open_progress"]

STEP = 0.1
"""Seconds between two looks."""

PATIENCE = 5.0
"""Seconds that the end of a call waits for the last state to be shown."""

Source = Callable[[], Counts]


def check_progress(spec: Any) -> None:
    """Raise TypeError if `spec` is nothing that `open_progress` takes."""
    if spec is None or isinstance(spec, bool | str | Mapping) or is_bar(spec) or callable(spec):
        return
    raise TypeError(
        "progress must be True, a label, a dict of tqdm's options, a function, a tqdm or a rich "
        f"Progress, not {type(spec).__name__}"
    )


def open_progress(spec: Any, source: Source, total: int | None, label: str) -> Progress | None:
    """Begin to show how far a call has come.

    Args:
        spec: True: a bar on standard error, of tqdm's if that is installed; a str: the same, with
            that label; a dict: the same, with these options (``desc``, ``total``, ``file``: for
            our own bar, too); a bar with ``update(n)`` or a ``rich.progress.Progress``: used and
            not closed; the class of one: opened and closed; a function: called with each Snapshot.
        source: says how it stands. Called a few times a second, by one thread, so it has to be
            quick. A bound method does not keep its object alive; without it the bar ends.
        total: items in the whole call; None: not known.
        label: what it is about, where `spec` does not say.

    Returns:
        What is to be closed; None if nothing is to be shown, or there is nowhere to show it.

    Raises:
        TypeError: `spec` is none of these.
        Exception: what a bar raises that can not be opened.
    """
    check_progress(spec)
    if spec is None or spec is False:
        return None
    if isinstance(spec, Mapping) and spec.get("total") is not None:
        total = spec["total"]
    bar = _open_bar(spec, total, label)
    return None if bar is None else Progress(source, bar, total)


def _open_bar(spec: Any, total: int | None, label: str) -> Bar | None:
    if spec is True:
        return _open_ours({"desc": label}, total)
    if isinstance(spec, str):
        return _open_ours({"desc": spec}, total)
    if isinstance(spec, Mapping):
        return _open_ours({"desc": label, **spec}, total)
    if isinstance(spec, partial) and is_tqdm_class(spec.func):
        return TqdmBar(spec.func, total, {"desc": label, **spec.keywords})
    if is_tqdm_class(spec):
        return TqdmBar(spec, total, {"desc": label})
    if is_rich(spec):
        return RichBar(spec, total, label)
    if is_bar(spec) and not isinstance(spec, type):
        return TheirBar(spec)
    return FunctionBar(spec)


def _open_ours(options: dict[str, Any], total: int | None) -> Bar | None:
    stream = options.get("file") or sys.stderr
    if not is_open(stream):
        return None
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return LineBar(stream, str(options["desc"] or ""))
    return TqdmBar(tqdm, total, options)


class Progress:
    """A bar, and the thread that keeps it up to date until it is closed."""

    def __init__(
        self,
        source: Source,
        bar: Bar,
        total: int | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = _weakly(source)
        self._bar = bar
        self._clock = clock
        self._meter = Meter(total, clock())
        self._counts = Counts(0)
        # No Event, no lock: a signal handler must be able to close it while the thread that it
        # interrupts is at that, too.
        self._told: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._ended: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._is_over = False
        self._is_joined = False
        self._pid = os.getpid()
        self._thread = Thread(target=self._run, name="procession-progress", daemon=True)
        self._thread.start()
        _end_at_exit(self)

    def tell(self, success: bool) -> None:
        """Have it show how it ended, and end, without waiting for that."""
        if os.getpid() == self._pid:  # else a forked copy: the thread is not here
            self._told.put(success)

    def close(self, success: bool) -> None:
        """Show how it ended, and let the thread end; at most once, the rest does nothing.

        Waits until it is shown, but not for itself, and at most five seconds: a function of the
        user's may be stuck.
        """
        if have_ended(self._pid):
            return
        self._told.put(success)
        if threading.current_thread() is self._thread:
            return
        until = time.monotonic() + PATIENCE
        while not self._is_over and time.monotonic() < until:
            try:
                self._ended.get(timeout=STEP)  # one that waits is woken at once, others look
            except queue.Empty:
                continue
        if self._is_over and not self._is_joined:
            # By the first only: join() can not be called in a handler that interrupts it.
            self._is_joined = True
            self._thread.join(PATIENCE)

    # ---- the thread

    def _run(self) -> None:
        try:
            success = self._watch()
            self._bar.close(self._meter.read_last(self._counts, self._clock()), success)
        except BaseException:
            _report()
        finally:
            self._is_over = True
            self._ended.put(None)

    def _watch(self) -> bool:
        """Show how it stands, until told how it ended."""
        while self._look():
            self._bar.show(self._meter.read(self._counts, self._clock()))
            try:
                success = self._told.get(timeout=STEP)
            except queue.Empty:
                continue
            self._look()
            return success
        return False

    def _look(self) -> bool:
        """Ask how it stands; False if nobody is there to say so."""
        source = self._source()
        if source is None:
            return False
        self._counts = source()
        return True


_open: weakref.WeakSet[Progress] = weakref.WeakSet()
_close_at_exit: Callable[[], None] | None = None


def _end_at_exit(progress: Progress) -> None:
    """Have it closed while threads still run: one that is stopped as it draws keeps the stream."""
    global _close_at_exit
    _open.add(progress)
    if _close_at_exit is None:
        _close_at_exit = atexit.register(_close_all)


def _close_all() -> None:
    for progress in list(_open):
        progress.close(False)


def _weakly(source: Source) -> Callable[[], Source | None]:
    return weakref.WeakMethod(source) if ismethod(source) else lambda: source


def _report() -> None:
    """As for any thread: the exception is reported, and the call goes on."""
    kind, error, trace = sys.exc_info()
    assert kind is not None
    threading.excepthook(threading.ExceptHookArgs((kind, error, trace, threading.current_thread())))
