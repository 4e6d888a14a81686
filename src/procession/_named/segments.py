"""Make, open and unlink named segments.

A segment is made without a name and gets it when it is whole: nobody can open one that has no size
yet, and whoever is killed meanwhile leaves nothing. All its pages are reserved first, so that
shortage is an error here, not a SIGBUS at some later write.
"""

from __future__ import annotations

import _posixshmem  # type: ignore[import-not-found]
import contextlib
import errno
import os
from collections.abc import Callable

from procession._named import membership, sweeping
from procession._named.places import SEGMENTS, Identity

shm_open: Callable[..., int] = _posixshmem.shm_open
shm_unlink: Callable[[str], None] = _posixshmem.shm_unlink
_NAME_MAX = 255
_has_swept = False  # this process, or the one that forked it
_NO_UNNAMED_FILES = {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT, errno.ENOTDIR}


def create(name: str, size: int, mode: int, *, tracked: bool) -> int:
    """A new segment's descriptor.

    Args:
        name: as shm_open() takes it, with a slash before it.
        size: in bytes; its pages are reserved.
        mode: permissions, as of a file.
        tracked: whether it is unlinked when this process's family is dead.

    Raises:
        FileExistsError: there is one, and not of a dead family.
        OSError: there is no room for it in /dev/shm, or it can not be created there.
        ValueError: there is a null character in the name.
    """
    _check(name)
    if not _has_swept:
        _sweep()
    _check_free(name)
    fd = _make_unnamed(name, mode)
    is_named = fd < 0
    if is_named:
        fd = shm_open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR, mode=mode)
    identity = Identity.of(fd)
    try:
        if is_named and tracked:
            membership.record(identity, _plain(name))
        _reserve(fd, size, name)
        if not is_named:
            if tracked:
                membership.record(identity, _plain(name))
            _publish(fd, name)
    except BaseException:
        _discard(fd, name, identity)
        raise
    return fd


def attach(name: str, flags: int, mode: int) -> int:
    """A segment's descriptor. One that a dead family left is gone before.

    Raises:
        FileNotFoundError: there is none.
        OSError: it can not be opened.
        ValueError: there is a null character in the name.
    """
    _check(name)
    if not membership.has(_plain(name)):
        _sweep()
    return shm_open(name, flags, mode=mode)


def unlink(name: str, identity: Identity | None) -> None:
    """Take the name from a segment; who has it open can go on using it.

    Raises:
        FileNotFoundError: there is none.
        ValueError: there is a null character in the name.
    """
    _check(name)
    shm_unlink(name)
    if identity is not None:
        membership.drop(identity)


def _sweep() -> None:
    global _has_swept
    sweeping.sweep()
    _has_swept = True


def _plain(name: str) -> str:
    """A segment's name as that of a file in /dev/shm."""
    return name.lstrip("/")


def _check(name: str) -> None:
    """Raises ValueError if there is a null character in it: the C library would end there."""
    if "\0" in name:
        raise ValueError("embedded null character")


def _can_be_named(plain: str) -> bool:
    """Whether this is a name for a file; shm_open() says what is wrong with others."""
    return (
        plain not in ("", ".", "..") and "/" not in plain and len(os.fsencode(plain)) <= _NAME_MAX
    )


def _check_free(name: str) -> None:
    """Raises FileExistsError if the name is in use. Before anything is reserved for it."""
    plain = _plain(name)
    if not _can_be_named(plain) or Identity.named(plain) is None:
        return
    _sweep()
    if Identity.named(plain) is not None:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)


def _make_unnamed(name: str, mode: int) -> int:
    """A file in /dev/shm that has no name yet; -1: not here, or not for this name."""
    if not _can_be_named(_plain(name)):
        return -1
    try:
        fd = os.open(SEGMENTS, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, mode)
    except OSError as error:
        if error.errno in _NO_UNNAMED_FILES:
            return -1
        raise
    if os.path.lexists(_path(fd)):
        return fd
    os.close(fd)
    return -1


def _path(fd: int) -> str:
    return f"/proc/self/fd/{fd}"


def _reserve(fd: int, size: int, name: str) -> None:
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        about = os.statvfs(SEGMENTS)
        free, total = about.f_bavail * about.f_frsize, about.f_blocks * about.f_frsize
        raise OSError(
            errno.ENOSPC,
            f"no room in {SEGMENTS} for {size} bytes of shared memory: {free} of its {total} bytes "
            f"are free; unlink what is not needed, or have it mounted larger",
            name,
        ) from None


def _publish(fd: int, name: str) -> None:
    try:
        # The descriptor of a directory has os.link() follow the link in /proc.
        os.link(_path(fd), f"{SEGMENTS}/{_plain(name)}", src_dir_fd=fd, follow_symlinks=True)
    except FileExistsError:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name) from None


def _discard(fd: int, name: str, identity: Identity) -> None:
    """Undo a creation that failed, or was interrupted."""
    plain = _plain(name)
    with contextlib.suppress(OSError, ValueError):
        if os.fstat(fd).st_nlink and Identity.named(plain) == identity:
            os.unlink(f"{SEGMENTS}/{plain}")
    membership.drop(identity)
    os.close(fd)
