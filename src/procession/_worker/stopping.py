"""A task that is asked to stop: ``TaskTimeout`` is raised in it, which it may catch to clean up.

The parent says in the claim which task is meant, and which of its items, and sends SIGURG. The
system ignores that signal where nobody listens, so one that comes too late does no harm; and one
that finds another task does nothing.
"""

from __future__ import annotations

import os
import signal

from procession._core import Channel
from procession._worker.state import here
from procession.errors.pool import TaskTimeout

SIGNAL = signal.SIGURG


def listen(channel: Channel) -> None:
    """From now on, stop a task when that is asked."""

    def stop(*_: object) -> None:
        # The number is 0 between tasks, and in children of this process.
        if here.number and channel.stop_asked():
            output = "" if here.page is None else here.page.text()
            raise TaskTimeout(None, os.getpid(), here.task_name(), output=output)

    signal.signal(SIGNAL, stop)


def leave_out_the_handler(error: BaseException) -> None:
    """Have the traceback of a ``TaskTimeout`` end in the user's line, where the signal came."""
    trace = error.__traceback__
    while trace is not None:
        inner = trace.tb_next
        if inner is not None and inner.tb_frame.f_globals is globals():
            trace.tb_next = inner = None
        trace = inner
