"""Start method *fork*: the one place that forks this process."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from itertools import starmap

from procession import _core
from procession._launch import child, lifeline, methods, streams
from procession._launch.handle import Handle

fork_process: Callable[[], int] = _core.fork

_ALL_SIGNALS = signal.valid_signals()


class ForkedChild(Handle):
    """A forked child process, running from the moment this object exists.

    `entry` runs in the child; what it returns is the exit code. `name` (or what it returns, if it
    is callable) appears above the traceback of an exception there. The child puts itself in order
    first (``child``) and dies with its parent (``lifeline``).

    `known` is called with this object as soon as the child runs, before any signal handler can:
    so a handler that raises (Ctrl-C) finds either nothing started, or a child that is known.
    For `inherit_sentinel` and `ended` see ``Handle``.

    Raises OSError if there are not enough descriptors or processes; nothing has run then.
    """

    def __init__(
        self,
        entry: Callable[[], int],
        *,
        name: str | Callable[[], str],
        inherit_sentinel: bool = False,
        known: Callable[[ForkedChild], object] | None = None,
        ended: Callable[[], object] | None = None,
    ) -> None:
        super().__init__(inherit_sentinel=inherit_sentinel, ended=ended)
        streams.flush_output()  # may wait for a reader: Ctrl-C must still come through here
        lifeline.hold()
        _core.join()  # or the child would begin a family of its own
        parent_had_threads = threading.active_count() > 1
        pids: list[int] = []
        mask = child.set_signal_mask(signal.SIG_BLOCK, ())
        try:
            child.set_signal_mask(signal.SIG_BLOCK, _ALL_SIGNALS)
            # A descriptor kept ready for the sentinel: found missing now, not when the child runs.
            reserve = os.open(os.devnull, os.O_RDONLY)
            try:
                # Forks and keeps the pid in one step: no handler can run in between.
                pids.extend(starmap(fork_process, [()]))
            finally:
                os.close(reserve)
            if pids == [0]:
                child.live_as_fork(entry, name, parent_had_threads=parent_had_threads, mask=mask)
            self._begin(pids[0], known)
        except BaseException:
            # Also a handler of a signal that another thread took: those are not held back, and one
            # that came during the fork runs right behind it.
            if pids == [0]:
                os._exit(1)
            for pid in pids:
                self._end_unknown(pid)
            raise
        finally:
            child.set_signal_mask(signal.SIG_SETMASK, mask)


def launch(startable: methods.Startable) -> ForkedChild:
    """The start method: run the process object's own bootstrap in a fork of this process."""
    return ForkedChild(
        startable._bootstrap,
        name=lambda: startable.name,
        inherit_sentinel=startable._shares_sentinel,
        known=startable._adopt,
        ended=startable._ended,
    )


methods.register("fork", launch)
