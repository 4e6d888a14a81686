"""The zygote: a small process with one thread that forks when asked. The family's fork server.

It is started by exec, so it has nothing of the process that started it; imports what its children
are going to need; and lets the garbage collector forget all of it, so that the children share its
pages. Its side of the protocol is told in ``forkserver``. It ends when nobody holds the door any
more, and at once with the process that has started it.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import pickle
import resource
import select
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Iterable, Sequence
from typing import NamedTuple, NoReturn

from procession import _core
from procession._launch import arrival, child, learning, parcel, preparation, streams
from procession._launch.fork import fork_process
from procession._launch.forkserver import PID, STATUS
from procession._launch.learning import Learner
from procession._launch.preparation import Preparation

_MAIN = "__main__"
# What every child loads; by name, for they stand above this room.
_FOR_ALL = (
    "procession.process",
    "procession.context",
    "procession.pool_worker",
    "procession._launch.surroundings",
    "procession._worker.loop",
)


def live(door: int, content: int, descriptors: Sequence[int]) -> NoReturn:
    """Be the zygote, to its end.

    Args:
        door: the socket on which requests come.
        content, descriptors: of a parcel with the names of the modules to import.
    """
    code = 1
    try:
        _core.stay_out()
        streams.occupy()
        for fd in (door, content, *descriptors):
            os.set_inheritable(fd, False)
        parcel.arrive(descriptors)
        with open(content, "rb") as file:
            prepare: Preparation = pickle.load(file)
            prepare.tie()
            os.close(prepare.arena.detach())
            if "tracker" in prepare.theirs:  # it ends when nobody holds this any more
                os.close(prepare.theirs["tracker"].detach())
            preload: list[str] = pickle.load(file)
        zygote = Zygote(socket.socket(fileno=door), prepare, learns=preload == [_MAIN])
        child.set_signal_mask(signal.SIG_SETMASK, ())
        with preparation.in_progress():
            _import(prepare, preload)
        zygote.serve()
        code = 0
    except BaseException:
        streams.report(f"Zygote:\n{traceback.format_exc()}")
    finally:
        os._exit(code)


class _Spare(NamedTuple):
    """A child that waits for a line."""

    pid: int
    way: socket.socket


class Zygote:
    """Forks, and says how each child ended."""

    def __init__(self, door: socket.socket, prepare: Preparation, *, learns: bool) -> None:
        self._prepare = prepare
        self._door = door
        self._lines: dict[int, socket.socket] = {}
        self._spare: _Spare | None = None
        self._wants_spare = True
        self._bell, bell = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._bells = (self._bell, bell)
        self._learner = Learner(willing=learns, let_go=self._close_lines)
        self._reserve = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        # Ctrl-C reaches the whole foreground group; whoever asked for us decides.
        self._interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(bell, warn_on_full_buffer=False)
        # One descriptor for each child: as many as the system allows, but not so in the children.
        self._limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (self._limits[1], self._limits[1]))

    def serve(self) -> None:
        """Fork on request, until nobody is left who could request; else learn."""
        learner = self._learner
        poll = select.poll()
        for fd in (self._bell, self._door.fileno(), learner.ear):
            poll.register(fd, select.POLLIN)
        while True:
            pause = None if learner.pause is None else learner.pause * 1000
            ready = poll.poll(1 if self._wants_spare else pause)
            for fd, _ in ready:
                if fd == self._bell:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._bell, 4096)
                    self._reap()
                elif fd == learner.ear:
                    learner.hear()
                elif fd == learner.trial:
                    poll.unregister(fd)
                    learner.conclude()
                elif not self._answer():
                    return
            if not ready and self._wants_spare:
                self._make_spare()
            elif not ready:
                if learner.step():
                    self._dismiss_spare()  # it has not learnt it
                if learner.trial >= 0:
                    poll.register(learner.trial, select.POLLIN)

    def _answer(self) -> bool:
        """Take a request; False if nobody holds the door any more."""
        is_full = not self._has_room()
        if is_full:
            os.close(self._reserve)
        request, fds, _, _ = socket.recv_fds(self._door, 64, 1, socket.MSG_CMSG_CLOEXEC)
        with contextlib.suppress(BrokenPipeError):
            for fd in fds:
                line = socket.socket(fileno=fd)
                line.setblocking(True)  # the program may have set a default timeout
                if is_full:
                    self._refuse(line, errno.EMFILE)
                elif not self._give_to_spare(line):
                    self._fork(line)
        if is_full:
            self._reserve = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        return bool(request)

    def _has_room(self) -> bool:
        """Whether a descriptor is left, for the line of a request."""
        try:
            os.close(os.dup(self._reserve))
        except OSError:
            return False
        return True

    def _refuse(self, line: socket.socket, reason: int | None) -> None:
        with line:
            line.send(PID.pack(b"E", reason or 0))

    def _give_to_spare(self, line: socket.socket) -> bool:
        """Have the spare child take the line; False if there is none, or it has died."""
        spare, self._spare = self._spare, None
        self._wants_spare = True
        if spare is None:
            return False
        with spare.way, contextlib.suppress(OSError):
            socket.send_fds(spare.way, [b"line"], [line.fileno()])
            self._lines[spare.pid] = line
            return True
        return False

    def _make_spare(self) -> None:
        """Fork a child before it is asked for: what that costs is not waited for then."""
        self._wants_spare = False
        try:
            ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError:  # there is no room just now
            return
        its.setblocking(True)
        before = child.set_signal_mask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            pid = fork_process()
            if pid == 0:
                ours.close()
                self._be_spare(its)
            self._spare = _Spare(pid, ours)
        except OSError:  # there is no room just now
            ours.close()
        finally:
            its.close()
            child.set_signal_mask(signal.SIG_SETMASK, before)

    def _dismiss_spare(self) -> None:
        if self._spare is not None:
            self._spare.way.close()
            self._spare = None
            self._wants_spare = True

    def _fork(self, line: socket.socket) -> None:
        before = child.set_signal_mask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            pid = fork_process()
        except OSError as error:
            self._refuse(line, error.errno)
            return
        else:
            if pid == 0:
                self._be_child(line)
            self._lines[pid] = line
        finally:
            child.set_signal_mask(signal.SIG_SETMASK, before)

    def _reap(self) -> None:
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG)
            except ChildProcessError:
                return
            if ended is None:
                return
            line = self._lines.pop(ended.si_pid, None)
            if line is None:
                if self._spare is not None and self._spare.pid == ended.si_pid:
                    self._dismiss_spare()
                    self._wants_spare = False  # the next might die as well: not before a request
                continue  # or a process that a preloaded module has started
            code = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
            with line, contextlib.suppress(OSError):
                line.send(STATUS.pack(b"S", code), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)

    def _be_child(self, line: socket.socket) -> NoReturn:
        try:
            self._let_go()
            child.enter_fork(parent_had_threads=threading.active_count() > 1)
            _live(line)
        finally:
            os._exit(1)  # whoever asked has gone

    def _be_spare(self, way: socket.socket) -> NoReturn:
        try:
            self._let_go()
            child.enter_fork(parent_had_threads=threading.active_count() > 1)
            with contextlib.suppress(Exception):  # a folder has gone, for one
                arrival.rehearse(self._prepare)
            # A signal that comes now is meant for others: none may lie in wait for who we become.
            interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
            child.set_signal_mask(signal.SIG_SETMASK, ())
            fds = socket.recv_fds(way, 64, 1, socket.MSG_CMSG_CLOEXEC)[1]
            child.set_signal_mask(signal.SIG_BLOCK, signal.valid_signals())
            signal.signal(signal.SIGINT, interrupt)
            way.close()
            if fds:  # else the zygote needs none any more
                line = socket.socket(fileno=fds[0])
                line.setblocking(True)
                _live(line)
        finally:
            os._exit(1)

    def _let_go(self) -> None:
        """In a child: give back what is the zygote's."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, self._interrupt)
        learner = self._learner
        learning.begin(os.dup(learner.line))
        for fd in (*self._bells, self._reserve, *learner.descriptors()):
            os.close(fd)
        self._close_lines()
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, self._limits)

    def _close_lines(self) -> None:
        """In a copy: who waits for the zygote's end shall not wait for the copy's, too."""
        self._door.close()
        for line in self._lines.values():
            line.close()
        self._lines.clear()
        if self._spare is not None:
            self._spare.way.close()


def _live(line: socket.socket) -> NoReturn:
    """Say who we are, and be the child that the parcel describes.

    Raises OSError if whoever asked has gone.
    """
    own = os.pidfd_open(os.getpid())
    socket.send_fds(line, [PID.pack(b"P", os.getpid())], [own])
    os.close(own)
    fds = socket.recv_fds(line, 64, parcel.MOST_DESCRIPTORS + 1, socket.MSG_CMSG_CLOEXEC)[1]
    if not fds:
        raise BrokenPipeError
    arrival.live(fds[0], fds[1:], line.detach())


def _import(prepare: Preparation, names: Iterable[str]) -> None:
    """Import what the children are going to need. What can not be imported they will report."""
    sys.path[:] = prepare.path
    sys.argv[:] = prepare.arguments
    prepare.run_hooks()
    for name in (*_FOR_ALL, *names):
        try:
            if name == _MAIN:
                with contextlib.suppress(BaseException):  # the child will say what is wrong
                    prepare.import_main()
            else:
                __import__(name)
        except ImportError:
            pass
        except BaseException:
            streams.report(f"Zygote: {name} can not be preloaded:\n{traceback.format_exc()}")
    with contextlib.suppress(OSError):
        streams.flush_output()
    gc.collect()
    gc.freeze()
