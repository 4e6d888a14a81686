"""The parent's handle on a child, however it was started: watched, signalled, reaped."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

from procession import _core

STATUS_LOST = 255
"""Exit code reported when other code took the child's status and the kernel kept no copy."""

# ioctl(pidfd, PIDFD_GET_INFO) tells the exit status even after somebody reaped the process
# (Linux 6.15). The structure is 64 bytes: a mask of what is asked for and given, ..., the status.
_PIDFD_GET_INFO = 0xC040FF0B
_PIDFD_INFO_EXIT = 1 << 3
_INFO_SIZE, _STATUS_OFFSET = 64, 60
_STAT_EXIT_CODE = 48  # in /proc/PID/stat, counted from the field behind the state

LONGEST_SLEEP = 0.5
"""Seconds. A signal that comes just before a sleep in the kernel begins does not end it, and its
handler runs only when that has ended: so none is long."""

_private: set[int] = set()  # descriptors that forked children close
_lines: set[PrivateSocket] = set()  # likewise
_forking = threading.RLock()  # held by whoever forks, or has something that no copy shall get
_abandoned: set[int] = set()  # pidfds of children whose handle was closed while they ran


class Handle:
    """A child process that runs, as the process that started it sees it.

    The sentinel is closed in children that are forked later, unless `inherit_sentinel` is true.
    `ended` is called once, without arguments, when the exit code becomes known.
    """

    def __init__(
        self, *, inherit_sentinel: bool = False, ended: Callable[[], object] | None = None
    ) -> None:
        self._pid = 0
        self._exitcode: int | None = None
        self._sentinel = -1
        self._parent_pid = os.getpid()
        self._is_private = not inherit_sentinel
        self._is_known = False  # to who is to watch it
        self._sent: object = None  # what it has not unpacked is kept by this
        self._ended = ended
        reap_abandoned()

    def _watch(self, pid: int, sentinel: int | None = None) -> None:
        """It runs: from now on it has a pid and a sentinel (by default a pidfd of its own)."""
        self._pid = pid
        self._sentinel = _open_sentinel(pid) if sentinel is None else sentinel
        if self._is_private:
            _private.add(self._sentinel)

    def _begin(self, pid: int, known: Callable[[Any], object] | None) -> None:
        """Watch a child of this process, and tell of it; if that fails it must not run."""
        try:
            self._watch(pid)
            if known is not None:
                known(self)
            self._is_known = True
        finally:
            self._end_unknown(pid)

    def _end_unknown(self, pid: int) -> None:
        """A child that nobody can watch must not run. To be asked as often as one likes."""
        if self._is_known:
            return
        with contextlib.suppress(ChildProcessError):  # reaped already: the pid may be another's now
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

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
        deadline = None if timeout is None else time.monotonic() + timeout
        left = LONGEST_SLEEP
        while (code := self.poll()) is None and os.getpid() == self._parent_pid:
            if deadline is not None:
                left = deadline - time.monotonic()
            fd = self._sentinel  # another thread may close it meanwhile
            if fd < 0 or left <= 0:
                break
            await_readable(fd, min(left, LONGEST_SLEEP))
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
            _private.discard(fd)
        if ours and not ended:
            self._exitcode = STATUS_LOST
            _abandoned.add(fd)
            self._tell_end()
            return
        if ours:
            # Another thread may have kept the code, and be about to reap: it has no descriptor now.
            _take_status(fd)
        if ours or not self._is_private:
            # A private one was closed at the fork already, in processes forked from this one.
            with contextlib.suppress(OSError):  # or by the program (os.closerange)
                os.close(fd)

    def __del__(self) -> None:
        if getattr(self, "_sentinel", -1) >= 0:
            self.close()

    def __repr__(self) -> str:
        state = "running" if self._exitcode is None else f"exit code {self._exitcode}"
        return f"<{type(self).__name__} pid={self._pid} {state}>"

    def _tell_end(self) -> None:
        self._sent = None
        _core.sweep()
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
                self._exitcode = lost_status(self._sentinel)
        else:
            if seen is None:
                return
            ended_itself = seen.si_code == os.CLD_EXITED
            self._exitcode = seen.si_status if ended_itself else -seen.si_status
            _take_status(self._sentinel)
        if self._exitcode is not None:
            self._tell_end()


def _open_sentinel(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        # Ended and reaped already, by other code or because SIGCHLD is ignored. A pipe without a
        # writer is readable for ever, as the pidfd of a dead process is.
        read, write = os.pipe()
        os.close(write)
        return read


class PrivateSocket(socket.socket):
    """A socket that copies of this process close."""

    def __del__(self) -> None:
        super().close()  # without the warning that it was not closed

    def close(self) -> None:
        """As ``socket.close()``."""
        _lines.discard(self)
        super().close()


def private_pair() -> tuple[PrivateSocket, PrivateSocket]:
    """Two connected sockets for messages, which no copy of this process ever has.

    Who waits for the end of one would otherwise wait for the end of all copies made meanwhile.
    Raises OSError if there are no descriptors left.
    """
    with _forking:
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ends = PrivateSocket(fileno=ours.detach()), PrivateSocket(fileno=its.detach())
        _lines.update(ends)
    for end in ends:
        end.setblocking(True)  # whatever socket.setdefaulttimeout() was told
    return ends


def await_readable(fd: int, timeout: float | None) -> bool:
    """Wait up to `timeout` seconds (None: without limit); whether `fd` became readable."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        left = LONGEST_SLEEP if deadline is None else deadline - time.monotonic()
        if poll.poll(max(0.0, min(left, LONGEST_SLEEP)) * 1000):
            return True
        if deadline is not None and time.monotonic() >= deadline:
            return False


def lost_status(sentinel: int) -> int | None:
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


def unreaped_status(pid: int, sentinel: int) -> int | None:
    """The exit code of another process's child that has ended; None once that has reaped it.

    The kernel shows it to processes of the same user.
    """
    try:
        is_shown = os.stat(f"/proc/{pid}").st_uid == os.geteuid()
        with open(f"/proc/{pid}/stat", "rb") as file:
            state, *fields = file.read().rpartition(b")")[2].split()
        signal.pidfd_send_signal(sentinel, 0)  # still there: so it was this one, not a successor
    except OSError:
        return None
    if state != b"Z" or not is_shown:
        return None
    return os.waitstatus_to_exitcode(int(fields[_STAT_EXIT_CODE]))


def _take_status(sentinel: int) -> bool:
    """Reap; whether there is nothing (more) to reap."""
    try:
        return os.waitid(os.P_PIDFD, sentinel, os.WEXITED | os.WNOHANG) is not None
    except OSError:
        return True


def reap_abandoned() -> None:
    """Reap the children that were given up and have ended since."""
    for fd in list(_abandoned):
        if _take_status(fd):
            _abandoned.discard(fd)
            os.close(fd)


def _before_fork() -> None:
    # Held for this long it is only by a thread that can not go on, for whatever reason.
    _forking.acquire(timeout=1)


def _after_fork() -> None:
    with contextlib.suppress(RuntimeError):  # it was not to be had
        _forking.release()


def _close_inherited() -> None:
    global _forking
    _forking = threading.RLock()
    for line in list(_lines):
        line.close()
    for fd in _private | _abandoned:
        with contextlib.suppress(OSError):
            os.close(fd)
    _private.clear()
    _abandoned.clear()


os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork, after_in_child=_close_inherited
)
