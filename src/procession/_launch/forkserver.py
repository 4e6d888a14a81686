"""Start method *forkserver*: a fork of the family's zygote, which gets a parcel.

The zygote (``zygote``) is started once, by the first process of the family that needs it; its
descendants inherit the way to it, the *door*: a socket on which a message that holds one more
socket asks for a child. On that socket, which belongs to the one child:

1. the parent has sent the parcel already;
2. the child says its pid, with a pidfd (the zygote answers instead if it can not fork);
3. the parent, which knows the child now, tells it to go on; nothing of the user's has run before;
4. the zygote says how the child ended.

The child itself answers, so an end of the socket without an answer means that there is none: the
zygote died, and the request is made again, to a new one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import socket
import struct
import threading
from collections.abc import Iterable
from typing import NamedTuple

from procession._launch import (
    child,
    description,
    door,
    exits,
    handle,
    interpreter,
    methods,
    parcel,
    settings,
    streams,
)
from procession._launch.handle import Handle
from procession._launch.kept import Kept

PID = struct.Struct("=ci")
"""What answers a request: b"P" and the child's pid, or b"E" and an errno."""

STATUS = PID
"""How a child ended: b"S" and its exit code, a signal's number negated."""

GO = b"go"
"""What the parent says when it knows the child."""

ATTEMPTS = 4
"""How many zygotes or children in a row may die over one request."""

STATUS_PATIENCE = 1.0
"""Seconds that poll() waits for the zygote to say how a child ended that it has reaped."""

EXIT_PRIORITY = -1000  # the last of all: children that end may still start others
_STOP_PATIENCE = 1.0
_ALL_SIGNALS = signal.valid_signals()


class ZygoteChild(Handle):
    """A child forked by the zygote, running from the moment this object exists.

    Raises:
        OSError: there are not enough descriptors or processes, or the zygote can not be kept alive.
        Exception: the process object can not be pickled. Nothing has run then.
    """

    def __init__(self, startable: methods.Startable) -> None:
        super().__init__(inherit_sentinel=startable._shares_sentinel, ended=startable._ended)
        self._line: handle.PrivateSocket | None = None
        streams.flush_output()
        mask = child.set_signal_mask(signal.SIG_BLOCK, ())
        _zygote.ensure()
        with (
            door.lent() as way,
            parcel.pack(
                lambda: description.describe(
                    startable.name,
                    mask=mask,
                    zygote=way,
                    environment=startable._environment(),
                ),
                startable,
            ) as packed,
        ):
            try:
                child.set_signal_mask(signal.SIG_BLOCK, _ALL_SIGNALS)
                self._sent = packed.on_its_way
                born = _ask(packed, _let_through(startable, mask))
                self._line = born.line
                self._watch(born.pid, born.pidfd)
                # If this fails (a handler in another thread raised) it is told nothing, and ends.
                startable._adopt(self)
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it was killed
                    born.line.send(GO)
            finally:
                child.set_signal_mask(signal.SIG_SETMASK, mask)

    def close(self) -> None:
        """As ``Handle.close()``."""
        super().close()
        line, self._line = self._line, None
        if line is not None:
            line.close()

    def _reap(self) -> None:
        """The zygote reaps, and says what it saw, unless it is stopped or was killed."""
        line, fd = self._line, self._sentinel
        if line is None or fd < 0 or not handle.await_readable(fd, 0):
            return
        try:
            code = self._told(line)
        except (OSError, ValueError):
            if self._line is None:
                return  # another thread has seen the end, and closed everything
            raise
        if self._exitcode is None:
            self._exitcode = handle.lost_status(fd) if code is None else code
        self._tell_end()

    def _told(self, line: handle.PrivateSocket) -> int | None:
        """The exit code as somebody tells it; None if it is lost."""
        word = _word(line)
        code = None if word else handle.unreaped_status(self._pid, self._sentinel)
        if code is None and word is None:
            # From its reaping to its word it is a matter of microseconds.
            handle.await_readable(line.fileno(), STATUS_PATIENCE)
            word = _word(line)
        if word:
            _, code = STATUS.unpack(word)
        return code


def _word(line: handle.PrivateSocket) -> bytes | None:
    """What the zygote said; nothing if it has gone; None if it may still say something."""
    for _ in range(2):
        try:
            # Looked at, not taken: another thread may be at it, too.
            return line.recv(STATUS.size, socket.MSG_DONTWAIT | socket.MSG_PEEK)
        except BlockingIOError:
            return None
        except ConnectionResetError:
            continue  # it ended with something untouched, which is told first, and once
    return b""


class _Born(NamedTuple):
    """A child of the zygote's that waits for its parcel."""

    pid: int
    pidfd: int
    line: handle.PrivateSocket


class _Zygote:
    """The zygote, if this process has started it."""

    def __init__(self) -> None:
        self.handle: Handle | None = None
        self._exit: exits.ExitHandle | None = None

    def ensure(self) -> Kept:
        """The way to it; a zygote is started if there is none."""
        with door.lock:
            return door.way() or self._start()

    def reach(self) -> tuple[socket.socket, Kept]:
        """A socket of the caller's own on that way, and the way."""
        with door.lock:
            way = self.ensure()
            asking = socket.socket(fileno=os.dup(way.fd))
            asking.setblocking(True)  # whatever socket.setdefaulttimeout() was told
            return asking, way

    def lost(self, way: Kept) -> None:
        """Nobody is behind this door any more."""
        with door.lock:
            if door.way() == way:
                door.lead_to(None)
                self._bury(0)

    def _bury(self, patience: float) -> None:
        started, self.handle = self.handle, None
        if started is not None:
            if started.wait(patience) is None:
                started.send_signal(signal.SIGKILL)
                started.wait()
            started.close()

    def _start(self) -> Kept:
        self._bury(0)  # there is one if the program has closed the way to it
        mask = child.set_signal_mask(signal.SIG_BLOCK, ())
        started = Handle()
        ours, its = handle.private_pair()
        with ours, its:
            try:
                # What it preloads it finds as a child would.
                with parcel.pack(
                    lambda: description.describe("zygote", mask=mask, zygote=None),
                    settings.preload(),
                ) as packed:
                    child.set_signal_mask(signal.SIG_BLOCK, _ALL_SIGNALS)
                    numbers = f"{its.fileno()}, {packed.content}, {list(packed.descriptors)}"
                    way = os.dup(ours.fileno())
                    try:
                        pid = interpreter.execute(
                            f"from procession._launch import zygote; zygote.live({numbers})",
                            keep=(its.fileno(), packed.content, *packed.descriptors),
                            environment={},
                            title="zygote",
                        )
                        started._begin(pid, None)
                    except BaseException:
                        os.close(way)
                        raise
                    self.handle = started
                    door.lead_to(way)
                    if self._exit is None:
                        self._exit = exits.register_exit(self._end, priority=EXIT_PRIORITY)
                    return self.ensure()
            finally:
                child.set_signal_mask(signal.SIG_SETMASK, mask)

    def _end(self) -> None:
        """At this process's end: it sees the door closed, and leaves."""
        with door.lock:
            self._exit = None
            door.lead_to(None)
            # Others may still hold the door: they get a zygote of their own.
            self._bury(_STOP_PATIENCE)

    def after_fork(self) -> None:
        """In a forked child: the door stays open, the process behind it is another's."""
        self.handle = None
        self._exit = None


_zygote = _Zygote()


def zygote_pid() -> int | None:
    """The zygote's process id, if this process has started it."""
    return None if _zygote.handle is None else _zygote.handle.pid


def _let_through(startable: methods.Startable, mask: Iterable[int]) -> Iterable[int]:
    """The signals held back while the zygote is waited for; it may be busy, or stopped."""
    held_back = startable._held_back
    if held_back is None or threading.current_thread() is not threading.main_thread():
        return mask
    return held_back


def _ask(packed: parcel.Parcel, mask: Iterable[int]) -> _Born:
    """Have the zygote fork; a new zygote, if it has died. `mask` is in force while it waits."""
    for _ in range(ATTEMPTS):
        line, its = handle.private_pair()
        way: Kept | None = None
        try:
            with its:
                socket.send_fds(line, [b"parcel"], [packed.content, *packed.descriptors])
                asking, way = _zygote.reach()
                with asking:
                    _request(asking, its, mask)
            _await(line, select.POLLIN, mask)
            answer, fds = _answer(line)
            if answer:
                what, number = PID.unpack(answer)
                if what == b"P" and fds:
                    return _Born(number, fds[0], line)
                if what == b"P":
                    raise OSError(errno.EMFILE, "no descriptor is left to watch the process with")
                if what == b"E":
                    raise OSError(number, f"the zygote can not fork: {os.strerror(number)}")
        except (BrokenPipeError, ConnectionResetError):  # reset: with others' requests unread
            answer = b""
        except BaseException:
            line.close()
            raise
        line.close()
        if not answer and way is not None:
            _zygote.lost(way)
        # Else it said how the child ended, which was before that could say its pid.
    raise OSError(
        errno.ECHILD,
        f"{ATTEMPTS} fork servers, or children of theirs, in a row ended before they could say "
        f"anything; see above for what they printed, or use another start method",
    )


def _request(asking: socket.socket, its: socket.socket, mask: Iterable[int]) -> None:
    # Not by socket.send_fds(), which forgets its flags.
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("=i", its.fileno()))
    while True:
        _await(asking, select.POLLOUT, mask)
        with contextlib.suppress(BlockingIOError):  # another thread took the room that there was
            asking.sendmsg([b"child"], [rights], socket.MSG_DONTWAIT)
            return


def _answer(line: socket.socket) -> tuple[bytes, list[int]]:
    for _ in range(2):
        # If the other end has gone with the parcel untouched, that is told first, and once.
        with contextlib.suppress(ConnectionResetError):
            return socket.recv_fds(line, PID.size, 1, socket.MSG_CMSG_CLOEXEC)[:2]
    return b"", []


def _await(line: socket.socket, event: int, mask: Iterable[int]) -> None:
    """Wait until something can be sent, or is there, or the other end has gone."""
    poll = select.poll()
    poll.register(line, event)
    child.set_signal_mask(signal.SIG_SETMASK, mask)
    try:
        while not poll.poll(handle.LONGEST_SLEEP * 1000):
            pass
    finally:
        child.set_signal_mask(signal.SIG_BLOCK, _ALL_SIGNALS)


os.register_at_fork(after_in_child=_zygote.after_fork)
methods.register("forkserver", ZygoteChild)
