"""Children die with their parent, in whatever way it ends, at once.

Each process with children holds one pipe. The write end exists in that process alone: the kernel
closes it when the process ends, however it ends. Each child re-opens the read end, which gives it
an open file of its own, and asks the kernel for SIGKILL on the event "no writer left" (O_ASYNC
with F_SETSIG and F_SETOWN). No thread and no Python code takes part, so a child that computes in C
with the GIL held dies as promptly as any other; and as its own pipe goes with it, so do its
children, generation after generation.

Why not PR_SET_PDEATHSIG: it fires when the *thread* that forked ends, not the process. It is the
fall-back where the kernel refuses the above, and then only for children forked by the main thread.

A child that watches its parent itself (``parent_process().join()``, ``.is_alive()``,
``.sentinel``) wants to act on the parent's end: from then on it gets GRACE seconds before the kill.

An exec ends the arrangement on either side: the new program's children would not be ours.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import threading

from procession._launch.kept import Kept
from procession._threads import Thread

GRACE = 0.5
"""Seconds that a child which watches its parent itself lives on after the parent's end."""

_read: Kept | None = None  # this process's pipe, for its children
_write: Kept | None = None
_inherited: Kept | None = None  # in a fresh child: read end of the parent's pipe, until armed
_armed: Kept | None = None  # in a child: its own open file of the parent's pipe
_copied: Kept | None = None  # in a copy of a child that os.fork() made: what was _armed there
_watched = False  # _armed no longer kills at once: a thread does, after the grace
_making = threading.RLock()  # a signal handler may start a process, too
_main_thread = threading.main_thread().ident
_forked_by_main_thread = True


def hold() -> None:
    """Make sure that this process has its pipe. To be called before a fork.

    Raises OSError if there are no descriptors left.
    """
    global _read, _write
    with _making:
        if _is_held():
            return
        read, write = _pipe()
        if _is_held():  # by a signal handler that has come in between
            read.close()
            write.close()
        else:
            _read, _write = read, write


def arm() -> None:
    """In a fresh child: tie this process's life to that of the parent which called hold().

    Raises OSError if there are no descriptors left.
    """
    global _armed, _copied, _inherited
    end, _inherited = _inherited, None
    if _copied is not None:
        _copied.close()
        _copied = None
    if end is None or not end.is_intact():
        return
    try:
        fd = _open_for_kill(end.fd)
    except OSError:
        fd = fcntl.fcntl(end.fd, fcntl.F_DUPFD_CLOEXEC, 3)
        _ask_for_death_signal()
    _armed = Kept(fd, end.file)
    # The parent may have ended before the order was in place; then no event is to come.
    if _has_no_writer(end.fd):
        os.kill(os.getpid(), signal.SIGKILL)
    end.close()


def descriptor() -> int:
    """The read end for a child that inherits nothing by itself; for its arm_to().

    Raises OSError if there are no descriptors left.
    """
    hold()
    assert _read is not None
    return _read.fd


def arm_to(fd: int) -> None:
    """arm(), with what descriptor() gave in the parent; `fd` is closed.

    Raises OSError if there are no descriptors left.
    """
    global _inherited
    stale, _inherited = _inherited, Kept.of(fd)
    if stale is not None:
        stale.close()  # of the process that forked this one, if it holds any: the zygote
    arm()


def parent_has_ended() -> bool:
    """Whether the parent is gone. Only seen within the grace, which the first call grants.

    Raises ValueError in a process that has no lifeline.
    """
    return _has_no_writer(watch_parent())


def watch_parent() -> int:
    """A descriptor that becomes readable when the parent ends; grants the grace.

    Raises ValueError in a process that has no lifeline.
    """
    global _watched
    if _armed is None and _copied is not None and _copied.is_intact():
        return _copied.fd  # nothing kills a copy that os.fork() made: so there is no grace to grant
    if _armed is None or not _armed.is_intact():
        raise ValueError("this process has no lifeline to a parent")
    if not _watched:
        # The thread first: if it cannot be had, the immediate kill stays in force.
        Thread(
            target=_die_after_grace, args=(_armed.fd,), name="procession-lifeline", daemon=True
        ).start()
        flags = fcntl.fcntl(_armed.fd, fcntl.F_GETFL)
        fcntl.fcntl(_armed.fd, fcntl.F_SETFL, flags & ~os.O_ASYNC)
        _watched = True
    return _armed.fd


def _is_held() -> bool:
    return _read is not None and _write is not None and _read.is_intact() and _write.is_intact()


def _pipe() -> tuple[Kept, Kept]:
    read, write = os.pipe()
    try:
        # What a program prints to a standard stream that was closed would be an event here.
        read = _above_standard_streams(read)
        write = _above_standard_streams(write)
        return Kept.of(read), Kept.of(write)
    except OSError:
        os.close(read)
        os.close(write)
        raise


def _above_standard_streams(fd: int) -> int:
    """The same file, on a number that no program takes for one of its standard streams."""
    if fd > 2:
        return fd
    higher = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    os.close(fd)
    return higher


def _open_for_kill(read: int) -> int:
    fd = os.open(f"/proc/self/fd/{read}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fd = _above_standard_streams(fd)
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(fd, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_ASYNC)
    except OSError:
        os.close(fd)
        raise
    return fd


def _ask_for_death_signal() -> None:
    if _forked_by_main_thread:
        import ctypes  # the fall-back only: too slow an import for every child

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, int(signal.SIGKILL), 0, 0, 0)


def _die_after_grace(fd: int) -> None:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    events = poll.poll()
    if events != [(fd, select.POLLNVAL)]:  # the program closed it: no news of the parent then
        threading.Event().wait(GRACE)
        os.kill(os.getpid(), signal.SIGKILL)


def _has_no_writer(read: int) -> bool:
    poll = select.poll()
    poll.register(read, select.POLLIN)
    return bool(poll.poll(0))


def _after_fork_in_child() -> None:
    """Any forked copy, ours or not: let go of the pipe ends that would keep others alive."""
    global _read, _write, _inherited, _armed, _copied, _watched
    global _making, _main_thread, _forked_by_main_thread
    _making = threading.RLock()
    # A thread keeps its number across a fork.
    _forked_by_main_thread = threading.get_ident() == _main_thread
    _main_thread = threading.get_ident()
    for stale in (_inherited, _write):
        if stale is not None:
            stale.close()
    if _armed is not None:
        if _copied is not None:
            _copied.close()
        _copied = _armed
    _read, _write, _inherited, _armed, _watched = None, None, _read, None, False


os.register_at_fork(after_in_child=_after_fork_in_child)
