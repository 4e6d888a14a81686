"""This process's part in its family's record of segments.

A process that creates a segment holds its family's directory locked from then on. A fork holds the
same lock: it is the copy of a descriptor. The last member that leaves unlinks what the program
forgot to, and says so.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sys
import threading
import warnings
from typing import NamedTuple

from procession import _core
from procession._launch import exits
from procession._launch.kept import Kept
from procession._named import places, sweeping
from procession._named.places import Family, Identity

EXIT_PRIORITY = -2000
"""After all that ends children, the fork server's too: they may use the segments."""

_ZYGOTE = "procession._launch.zygote"  # loaded in zygotes, and in what they fork
_ATTEMPTS = 100  # a directory can go while it is joined, if a sweeper takes it for a dead family's


class _Membership(NamedTuple):
    directory: Kept  # locked, shared
    path: str


_membership: _Membership | None = None
_changing = threading.RLock()  # a signal handler may create segments, too


def record(identity: Identity, name: str) -> None:
    """Write down a segment of this family's, before it gets its name (no slash).

    Raises OSError if it can not be: nothing will look after the segment.
    """
    for _ in range(_ATTEMPTS):
        directory = _join().directory.fd
        try:
            os.symlink(name, identity.entry, dir_fd=directory)
            return
        except FileExistsError:  # of a file that is gone, whose inode came round again
            with contextlib.suppress(FileNotFoundError):
                os.unlink(identity.entry, dir_fd=directory)
        except FileNotFoundError:
            _forget()
    raise OSError(errno.EAGAIN, "the record of named shared memory is removed again and again")


def has(name: str) -> bool:
    """Whether this process holds a record of the segment with this name: its family lives."""
    member = _membership
    identity = None if member is None else Identity.named(name)
    if member is None or identity is None:
        return False
    try:
        os.lstat(f"{member.path}/{identity.entry}")
    except OSError:
        return False
    return member.directory.is_intact()


def drop(identity: Identity) -> None:
    """A segment has lost its name: forget it, whichever family wrote it down."""
    member = _membership
    if member is not None and member.directory.is_intact():
        with contextlib.suppress(FileNotFoundError):
            os.unlink(identity.entry, dir_fd=member.directory.fd)
            return
    for path, _ in places.families():
        with contextlib.suppress(OSError):
            os.unlink(f"{path}/{identity.entry}")
            return


def leave() -> None:
    """At the end of a process: the last one of its family unlinks what was not unlinked.

    Warns of each such segment.
    """
    member = _membership
    if member is None:
        return
    _forget()
    family = Family.parse(os.path.basename(member.path))
    leaked: list[str] = []
    for path, other in places.families():
        if other == family:
            with contextlib.suppress(OSError):
                leaked += sweeping.sweep_family(path, other, besides=os.getpid())
    if leaked:
        names = {f"/{name}" for name in leaked}
        warnings.warn(
            f"There appear to be {len(leaked)} leaked shared_memory objects to clean up at "
            f"shutdown: {names}; they are unlinked: call unlink() when they are no longer needed",
            stacklevel=1,
        )


def _join() -> _Membership:
    """Hold the family's directory locked, if this process does not yet. Raises OSError."""
    global _membership
    with _changing:
        if _membership is not None:
            if _membership.directory.is_intact():
                return _membership
            _forget()  # the program closed it
        family = Family.here(_arena())
        failures: list[OSError] = []
        for place in places.candidates():
            try:
                _membership = _join_at(place, family)
            except OSError as error:
                failures.append(error)
                continue
            exits.register_exit(leave, priority=EXIT_PRIORITY)
            return _membership
        raise OSError(
            failures[0].errno,
            "no directory for the record of named shared memory: have $XDG_RUNTIME_DIR name a "
            f"directory of yours, or create with track=False ({'; '.join(map(str, failures))})",
        )


def _join_at(place: str, family: Family) -> _Membership:
    # One that is locked by a sweeper, who might be stopped, is not waited for; and one that a
    # sweeper has just removed can not be opened.
    for number in range(_ATTEMPTS):
        places.make(place)
        path = f"{place}/{family.directory(number)}"
        with contextlib.suppress(FileExistsError, FileNotFoundError):
            os.mkdir(path, 0o700)
        try:
            fd = places.open_directory(path)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return _Membership(Kept.of(fd), path)
        except BlockingIOError:
            os.close(fd)
        except BaseException:
            os.close(fd)
            raise
    raise OSError(errno.EAGAIN, "others remove it as often as it is made", place)


def _forget() -> None:
    global _membership
    with _changing:
        member, _membership = _membership, None
        if member is not None:
            member.directory.close()


def _arena() -> int:
    """The inode of the family's arena. Raises OSError or MemoryError if there can not be one."""
    _core.join()
    try:
        return os.fstat(_core.arena_descriptor()).st_ino
    except OSError:  # the program closed it; it is mapped still
        return max(sweeping.arenas(os.getpid()))


def _before_fork() -> None:
    # So that the child is of this process's family, and what it creates lives as long. A zygote's
    # children get their family elsewhere.
    if _ZYGOTE in sys.modules:
        return
    with contextlib.suppress(OSError, MemoryError, RuntimeError):
        _core.join()


def _after_fork() -> None:
    global _changing
    _changing = threading.RLock()
    if _membership is not None:
        exits.register_exit(leave, priority=EXIT_PRIORITY)


os.register_at_fork(before=_before_fork, after_in_child=_after_fork)
