"""Finds the shared memory of the family that a process belongs to.

It has no name in any file system: the way to it leads through the descriptors of a process that has
it, which the kernel shows in ``/proc`` to whoever may debug that process.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from procession._observe import census

_ARENA = "/memfd:procession (deleted)"  # what the kernel calls an open arena


class CanNotLook(Exception):
    """The family of a process can not be looked at; the text says why, and what to do."""


def open_family(pid: int) -> int:
    """A descriptor, for reading, of the memory of the family that process `pid` belongs to.

    A process may have two: of the family it was forked in, and of its own. It is the one that it
    has joined. Raises CanNotLook.
    """
    with contextlib.ExitStack() as opened:
        arenas = []
        for arena in _arenas(pid):
            opened.callback(os.close, arena)
            arenas.append(arena)
        if not arenas:
            raise CanNotLook(
                f"process {pid} is in no family of procession: it does not use procession, or has "
                "not shared anything yet; give the pid of one that has"
            )
        try:
            joined = [arena for arena in arenas if _has_joined(pid, arena)]
        except RuntimeError:
            raise CanNotLook(
                f"process {pid} runs another version of procession: use the command of the "
                "environment that it runs in"
            ) from None
        return os.dup([*arenas, *joined][-1])


def open_all() -> list[tuple[list[int], int]]:
    """All families that this user may look at: the pids of each one's processes, and a descriptor.

    This process counts for none: it has them all open. The caller closes the descriptors.
    """
    found: dict[tuple[int, int], tuple[list[int], int]] = {}
    pids_seen = {int(name) for name in os.listdir("/proc") if name.isdecimal()} - {os.getpid()}
    for pid in sorted(pids_seen):
        with contextlib.suppress(CanNotLook):
            arena = open_family(pid)
            about = os.fstat(arena)
            pids, kept = found.setdefault((about.st_dev, about.st_ino), ([], arena))
            pids.append(pid)
            if kept != arena:
                os.close(arena)
    return [*found.values()]


def count_threads(pid: int) -> int | None:
    """How many threads a process has, those of libraries included; None if it can not be seen."""
    try:
        return len(os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return None


def _arenas(pid: int) -> Iterator[int]:
    """Descriptors of all arenas that the process has, each once."""
    known = set()
    for path in _paths(pid):
        try:
            arena = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # closed just now
            continue
        except PermissionError:
            raise CanNotLook(
                f"process {pid} has closed the descriptor of its family's memory (a daemon does "
                "that); give the pid of another process of the family, or use the command as root"
            ) from None
        about = os.fstat(arena)
        if (about.st_dev, about.st_ino) in known:
            os.close(arena)
            continue
        known.add((about.st_dev, about.st_ino))
        yield arena


def _paths(pid: int) -> list[str]:
    """The ways to its arenas: by its descriptors; or if it closed them, by its mappings."""
    folder = f"/proc/{pid}"
    try:
        if _state(folder) in ("Z", "X"):
            raise CanNotLook(f"process {pid} has ended; nobody has waited for it yet")
        entries = [f"{folder}/fd/{name}" for name in os.listdir(f"{folder}/fd")]
        found = [entry for entry in entries if _leads_to(entry) == _ARENA]
        return found or [
            f"{folder}/map_files/{line.split(maxsplit=1)[0]}"
            for line in Path(folder, "maps").read_text(errors="replace").splitlines()
            if line.endswith(f" {_ARENA}")
        ]
    except (FileNotFoundError, ProcessLookupError):
        raise CanNotLook(f"there is no process with the pid {pid}") from None
    except PermissionError:
        raise CanNotLook(
            f"this user may not look at process {pid}: use the command as the user that runs it, "
            "or as root"
        ) from None


def _state(folder: str) -> str:
    """The kernel's letter for what a process does."""
    return Path(folder, "stat").read_text(errors="replace").rpartition(")")[2].split()[0]


def _leads_to(link: str) -> str:
    try:
        return os.readlink(link)
    except FileNotFoundError:  # closed just now
        return ""


def _has_joined(pid: int, arena: int) -> bool:
    # In a container a process has another pid than out here; it knows its own one.
    numbers = {pid}
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines():
            if line.startswith("NSpid:"):
                numbers.update(map(int, line.split()[1:]))
    return any(process.pid in numbers for process in census.look(arena).processes)
