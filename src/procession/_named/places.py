"""Where the records of segments lie: private directories, with one for each family in them.

A family's directory is called ``BOOT-NAMESPACE-ARENA.NUMBER``: of which start of the system, in
which namespace of process ids, the inode of the family's arena. An entry is a symbolic link called
``DEVICE-INODE``, after the segment's file, that leads to the segment's name: made whole or not at
all, and without a byte on a disk. The directory itself is what members lock (flock); so tools that
clean up temporary directories leave it alone, too.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import re
import stat
from collections.abc import Iterator
from typing import NamedTuple

SEGMENTS = "/dev/shm"
"""Where the C library keeps POSIX shared memory."""

_BOOT = "/proc/sys/kernel/random/boot_id"
_NAMESPACE = "/proc/self/ns/pid"
_FAMILY = re.compile(r"([0-9a-f]+)-([0-9]+)-([0-9]+)\.([0-9]+)")
_ENTRY = re.compile(r"([0-9]+)-([0-9]+)")


class Identity(NamedTuple):
    """Which file a segment is, whatever its name."""

    device: int
    inode: int

    @classmethod
    def of(cls, fd: int) -> Identity:
        """Of an open segment."""
        about = os.fstat(fd)
        return cls(about.st_dev, about.st_ino)

    @classmethod
    def named(cls, name: str) -> Identity | None:
        """Of the segment with this name (no slash); None if there is none, or can be none."""
        try:
            about = os.lstat(f"{SEGMENTS}/{name}")
        except (OSError, ValueError):
            return None
        return cls(about.st_dev, about.st_ino)

    @classmethod
    def parse(cls, entry: str) -> Identity | None:
        """From an entry's name; None if it is none."""
        found = _ENTRY.fullmatch(entry)
        return cls(int(found[1]), int(found[2])) if found else None

    @property
    def entry(self) -> str:
        """What its entry is called."""
        return f"{self.device}-{self.inode}"


class Family(NamedTuple):
    """Which family a directory belongs to."""

    boot: str
    namespace: int
    arena: int  # inode

    @classmethod
    def here(cls, arena: int) -> Family:
        """A family of this boot and namespace."""
        return cls(boot(), namespace(), arena)

    @classmethod
    def parse(cls, directory: str) -> Family | None:
        """From a directory's name; None if it is none."""
        found = _FAMILY.fullmatch(directory)
        return cls(found[1], int(found[2]), int(found[3])) if found else None

    def directory(self, number: int) -> str:
        """What its directory is called. There is more than one if the first can not be locked."""
        return f"{self.boot}-{self.namespace}-{self.arena}.{number}"


@functools.cache
def boot() -> str:
    """This start of the system; 0 if it can not be told from others."""
    try:
        with open(_BOOT) as file:
            return file.read().strip().replace("-", "")
    except OSError:
        return "0"


def namespace() -> int:
    """This process's namespace of process ids. Raises OSError without /proc."""
    return os.stat(_NAMESPACE).st_ino


def candidates() -> tuple[str, ...]:
    """Where records may lie, the preferred place first; they need not exist.

    The last one can be written wherever a segment can.
    """
    return _candidates(os.environ.get("XDG_RUNTIME_DIR", ""), os.geteuid())


@functools.lru_cache(maxsize=8)
def _candidates(runtime: str, user: int) -> tuple[str, ...]:
    found = [f"{place}/procession" for place in (runtime, f"/run/user/{user}") if place[:1] == "/"]
    found += [f"/tmp/procession-{user}", f"{SEGMENTS}/procession-{user}"]
    return tuple(dict.fromkeys(found))


def make(place: str) -> None:
    """Make sure that there is a private directory.

    Raises OSError if it can not be made, or is somebody else's or open to others.
    """
    with contextlib.suppress(FileExistsError):
        os.mkdir(place, 0o700)
    check(place)


def check(place: str) -> None:
    """Raises OSError if this is no directory of ours that is closed to others."""
    about = os.lstat(place)
    is_private = about.st_uid == os.geteuid() and not stat.S_IMODE(about.st_mode) & 0o077
    if not stat.S_ISDIR(about.st_mode) or not is_private:
        raise PermissionError(errno.EPERM, "not a directory of this user's alone", place)


def families() -> Iterator[tuple[str, Family]]:
    """All families' directories, with their path. A place without any is removed."""
    for place in candidates():
        try:
            check(place)
            directories = os.listdir(place)
            if not directories:  # somebody was killed who was joining, or removing it
                os.rmdir(place)
        except OSError:
            continue
        for directory in directories:
            family = Family.parse(directory)
            if family is not None:
                yield f"{place}/{directory}", family


def open_directory(path: str) -> int:
    """A descriptor of a directory. Raises OSError."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def remove(path: str) -> None:
    """Remove a family's directory, and the place it lies in; if they are empty."""
    for directory in (path, os.path.dirname(path)):
        with contextlib.suppress(OSError):
            os.rmdir(directory)
