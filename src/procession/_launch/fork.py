"""Start method *fork*: the one place that forks, and the parent's handle on the child."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import struct
import threading
import time
from collections.abc import Callable
from itertools import starmap

from procession._launch import child, lifeline, methods, streams

STATUS_LOST = 255
"""Exit code reported when other code took the child's status and the kernel kept no copy."""

# ioctl(pidfd, PIDFD_GET_INFO) tells the exit status even after somebody reaped the process
# (Linux 6.15). The structure is 64 bytes: a mask of what is asked for and given, ..., the status.
_PIDFD_GET_INFO = 0xC040FF0B
_PIDFD_INFO_EXIT = 1 << 3
_INFO_SIZE, _STATUS_OFFSET = 64, 60
_LONGEST_POLL = 3600.0

try:
    from procession import _core

    _fork: Callable[[], int] = getattr(_core, "fork", os.fork)
except ImportError:
    _fork = os.fork

_ALL_SIGNALS = signal.valid_signals()

_private_sentinels: set[int] = set()
_abandoned: set[int] = set()  # pidfds of children whose handle was closed while they ran


class ForkedChild:
    """A forked child process, running from the moment this object exists.

    `entry` runs in the child; what it returns is the exit code. `name` (or what it returns, if it
    is callable) appears above the traceback of an exception there. The child puts itself in order
    first (``child``) and dies with its parent (``lifeline``).

    The sentinel is closed in children that are forked later, unless `inherit_sentinel` is true.
    `known` is called with this object as soon as the child runs, before any signal handler can:
    so a handler that raises (Ctrl-C) finds either nothing started, or a child that is known.
    `ended` is called once, without arguments, when the exit code becomes known.

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
        self._exitcode: int | None = None
        self._sentinel = -1
        self._parent_pid = os.getpid()
        self._private = not inherit_sentinel
        self._ended = ended
        _reap_abandoned()
        streams.flush_output()  # may wait for a reader: Ctrl-C must still come through here
        lifeline.hold()
        parent_had_threads = threading.active_count() > 1
        pids: list[int] = []
        is_known = False
        mask = child.set_signal_mask(signal.SIG_BLOCK, ())
        try:
            child.set_signal_mask(signal.SIG_BLOCK, _ALL_SIGNALS)
            # A descriptor kept ready for the sentinel: found missing now, not when the child runs.
            reserve = os.open(os.devnull, os.O_RDONLY)
            try:
                # Forks and keeps the pid in one step: no handler can run in between.
                pids.extend(starmap(_fork, [()]))
            finally:
                os.close(reserve)
            if pids == [0]:
                child.live_as_fork(entry, name, parent_had_threads=parent_had_threads, mask=mask)
            self._pid = pids[0]
            self._sentinel = _open_sentinel(self._pid)
            if self._private:
                _private_sentinels.add(self._sentinel)
            if known is not None:
                known(self)
            is_known = True
        except BaseException:
            # Also a handler of a signal that another thread took: those are not held back.
            if pids == [0]:
                os._exit(1)
            if pids and not is_known:
                _end_unknown(pids[0])
            raise
        finally:
            child.set_signal_mask(signal.SIG_SETMASK, mask)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._pid

    @property
    def sentinel(self) -> int:
        """A pidfd: readable when the child has ended. Valid until close().

        Raises ValueError after close().
        """
        if self._sentinel < 0:
            raise ValueError("the child's descriptor is closed")
        return self._sentinel

    def poll(self) -> int | None:
        """Exit code, a signal's number negated; None while the child runs. Never blocks.

        Any thread and any signal handler may ask; the child is reaped once, its code kept. Known
        in the process that forked it, nowhere else. If other code took the status (os.wait, SIGCHLD
        ignored) it is got back from the kernel where that is possible, else it is STATUS_LOST.
        """
        if self._exitcode is None and self._sentinel >= 0 and os.getpid() == self._parent_pid:
            self._reap()
        return self._exitcode

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait up to `timeout` seconds (None: without limit) for the end; returns what poll() does.

        Signal handlers run meanwhile; an exception in one ends the wait.
        """
        code = self.poll()
        if code is None and self._sentinel >= 0 and (timeout is None or timeout > 0):
            await_readable(self._sentinel, timeout)
            code = self.poll()
        return code

    def send_signal(self, signum: int) -> None:
        """Send a signal. It can only ever reach this child, and nothing happens if that has ended.

        Raises PermissionError if the child changed its user, ValueError after close().
        """
        if self.poll() is None:
            # ProcessLookupError: it ended a moment ago.
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.sentinel, signum)

    def close(self) -> None:
        """Close the sentinel. To be called once, when nobody else uses this object any more.

        A child that still runs is given up: it is reaped some time after its end, and counts as
        ended with STATUS_LOST from now on.
        """
        ended = self.poll() is not None
        fd, self._sentinel = self._sentinel, -1
        if fd < 0:
            return
        ours = os.getpid() == self._parent_pid
        if ours:
            _private_sentinels.discard(fd)
        if ours and not ended:
            self._exitcode = STATUS_LOST
            _abandoned.add(fd)
            self._tell_end()
        elif ours or not self._private:
            # A private one was closed at the fork already, in processes forked from this one.
            os.close(fd)

    def __del__(self) -> None:
        if getattr(self, "_sentinel", -1) >= 0:
            self.close()

    def __repr__(self) -> str:
        state = "running" if self._exitcode is None else f"exit code {self._exitcode}"
        return f"<ForkedChild pid={self._pid} {state}>"

    def _tell_end(self) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:
            ended()

    def _reap(self) -> None:
        # Look first, keep what was seen, take it only then. So no lock is needed: whoever finds
        # nothing to look at any more finds the code kept. A lock would have to be held by a signal
        # handler that interrupts its own holder.
        try:
            seen = os.waitid(os.P_PIDFD, self._sentinel, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except OSError:
            if self._exitcode is None:
                self._exitcode = _lost_status(self._sentinel)
        else:
            if seen is None:
                return
            ended_itself = seen.si_code == os.CLD_EXITED
            self._exitcode = seen.si_status if ended_itself else -seen.si_status
            _take_status(self._sentinel)
        if self._exitcode is not None:
            self._tell_end()


def launch(startable: methods.Startable) -> ForkedChild:
    """The start method: run the process object's own bootstrap in a fork of this process."""
    return ForkedChild(
        startable._bootstrap,
        name=lambda: startable.name,
        inherit_sentinel=True,
        known=startable._adopt,
    )


def _end_unknown(pid: int) -> None:
    """A child that nobody can watch must not run."""
    with contextlib.suppress(ChildProcessError):  # reaped already: the pid may be another's now
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _open_sentinel(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        # Ended and reaped already, by other code or because SIGCHLD is ignored. A pipe without a
        # writer is readable for ever, as the pidfd of a dead process is.
        read, write = os.pipe()
        os.close(write)
        return read


def await_readable(fd: int, timeout: float | None) -> bool:
    """Wait up to `timeout` seconds (None: without limit); whether `fd` became readable."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        left = _LONGEST_POLL if deadline is None else deadline - time.monotonic()
        if poll.poll(max(0.0, min(left, _LONGEST_POLL)) * 1000):
            return True
        if deadline is not None and time.monotonic() >= deadline:
            return False


def _lost_status(sentinel: int) -> int | None:
    """The exit code of a child that is not ours to reap any more; None if it still runs."""
    if not await_readable(sentinel, 0):
        return None
    info = bytearray(_INFO_SIZE)
    struct.pack_into("=Q", info, 0, _PIDFD_INFO_EXIT)
    try:
        fcntl.ioctl(sentinel, _PIDFD_GET_INFO, info)
    except OSError:
        return STATUS_LOST
    (given,) = struct.unpack_from("=Q", info)
    (status,) = struct.unpack_from("=i", info, _STATUS_OFFSET)
    return os.waitstatus_to_exitcode(status) if given & _PIDFD_INFO_EXIT else STATUS_LOST


def _take_status(sentinel: int) -> bool:
    """Reap; whether there is nothing (more) to reap."""
    try:
        return os.waitid(os.P_PIDFD, sentinel, os.WEXITED | os.WNOHANG) is not None
    except OSError:
        return True


def _reap_abandoned() -> None:
    for fd in list(_abandoned):
        if _take_status(fd):
            _abandoned.discard(fd)
            os.close(fd)


def _close_inherited_sentinels() -> None:
    for fd in _private_sentinels | _abandoned:
        with contextlib.suppress(OSError):
            os.close(fd)
    _private_sentinels.clear()
    _abandoned.clear()


os.register_at_fork(after_in_child=_close_inherited_sentinels)
methods.register("fork", launch)
