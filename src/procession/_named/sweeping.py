"""The sweep: segments of families that are dead are unlinked, and their records removed.

A family is dead if nobody holds the lock on its directory and nobody maps its arena. Several may
sweep at once: they lock the directory against each other, and against members that come to it. A
sweeper that is killed leaves the rest to the next one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

from procession._named import places
from procession._named.places import Family, Identity

_PROC = "/proc"
_ARENA = "/memfd:procession (deleted)"
_seen_alive: dict[Family, int] = {}  # a process of a family without a lock: looked at first


def sweep() -> list[str]:
    """Remove what dead families left; returns the names (no slash) of the segments."""
    removed: list[str] = []
    for path, family in places.families():
        with contextlib.suppress(OSError):
            removed += sweep_family(path, family)
    return removed


def sweep_family(path: str, family: Family, *, besides: int = 0) -> list[str]:
    """Remove what one family left, if it is dead; returns the names of its segments.

    Args:
        path: its directory.
        besides: a process that does not count as alive: one that is leaving.

    Raises OSError if it can not be looked at, as when somebody else removes it.
    """
    fd = places.open_directory(path)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # held by members, and by sweepers
        entries = os.listdir(fd)
        if family.boot != places.boot():  # the segments went with the system
            removed = []
            for entry in entries:
                os.unlink(entry, dir_fd=fd)
        elif entries and (family.namespace != places.namespace() or _lives(family, besides)):
            return []
        else:
            removed = [name for entry in entries if (name := _remove(fd, entry)) is not None]
        places.remove(path)
        return removed
    except BlockingIOError:
        return []
    finally:
        os.close(fd)


def _remove(directory: int, entry: str) -> str | None:
    """Unlink a dead family's segment, then its entry. The name, if there was a segment."""
    identity = Identity.parse(entry)
    if identity is None or identity.device != os.stat(places.SEGMENTS).st_dev:
        return None  # another /dev/shm's: for those who see that
    name = os.readlink(entry, dir_fd=directory)
    is_there = Identity.named(name) == identity
    if is_there:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{places.SEGMENTS}/{name}")
    os.unlink(entry, dir_fd=directory)
    return name if is_there else None


def _lives(family: Family, besides: int) -> bool:
    """Whether a process maps the family's arena.

    Raises OSError without /proc.
    """
    for pid in _processes(_seen_alive.pop(family, os.getppid())):
        if pid != besides and family.arena in arenas(pid):
            _seen_alive[family] = pid
            return True
    return False


def _processes(first: int) -> Iterator[int]:
    yield first
    yield from (int(entry) for entry in os.listdir(_PROC) if entry.isdecimal())


def arenas(pid: int) -> set[int]:
    """The inodes of the arenas that a process maps; none if it is gone, or another user's."""
    found = set()
    with contextlib.suppress(OSError), open(f"{_PROC}/{pid}/maps", errors="replace") as file:
        for line in file:
            if line.rstrip("\n").endswith(_ARENA):
                found.add(int(line.split(maxsplit=5)[4]))
    return found
