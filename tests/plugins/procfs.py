"""What /proc tells about processes. Standard library only: the watcher imports it too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple


class Process(NamedTuple):
    """A process; with its start time, so that a pid that was given anew is somebody else."""

    pid: int
    started: int  # clock ticks since boot

    def describe(self) -> str:
        """For a person: pid, state, command."""
        about = _stat(self.pid)
        state = about.state if about and about.process == self else "gone"
        raw = read(self.pid, "cmdline").replace(b"\0", b" ").decode(errors="replace")
        command = raw.strip() or (about.name if about else "")
        return f"process {self.pid} ({state}): {command[:200]}"


class _Stat(NamedTuple):
    process: Process
    parent: int
    state: str
    name: str


def read(pid: int, what: str) -> bytes:
    """The content of /proc/PID/`what`; empty if the process is gone or does not let us."""
    # Not by pathlib: this is done for each process, twice in each test.
    try:
        with open(f"/proc/{pid}/{what}", "rb", buffering=0) as file:
            return file.read()
    except OSError:
        return b""


def _stat(pid: int) -> _Stat | None:
    head, bracket, tail = read(pid, "stat").rpartition(b")")
    if not bracket:
        return None
    fields = tail.split()  # from the third field, the state, on
    name = head.partition(b"(")[2].decode(errors="replace")
    return _Stat(Process(pid, int(fields[19])), int(fields[1]), fields[0].decode(), name)


def _all() -> Iterator[_Stat]:
    for entry in os.listdir("/proc"):
        if entry.isdecimal() and (about := _stat(int(entry))) is not None:
            yield about


class Tree(NamedTuple):
    """All processes at one moment, as parents and children."""

    children: dict[int, list[Process]]

    @classmethod
    def now(cls) -> Tree:
        """The processes of this moment."""
        children: dict[int, list[Process]] = {}
        for about in _all():
            children.setdefault(about.parent, []).append(about.process)
        return cls(children)

    def below(self, pid: int) -> list[Process]:
        """All descendants of a process, parents before their children."""
        found = list(self.children.get(pid, ()))
        for process in found:  # grows meanwhile
            found.extend(self.children.get(process.pid, ()))
        return found


def adopter() -> int:
    """The pid of the process that adopts ours when their parent ends (init, or a subreaper)."""
    results, tell = os.pipe()
    alive, hold = os.pipe()
    child = os.fork()
    if child == 0:
        middle = os.getpid()
        if os.fork() == 0:
            os.close(hold)
            os.read(alive, 1)  # its end comes with the child's
            while (parent := os.getppid()) == middle:
                os.sched_yield()
            os.write(tell, str(parent).encode())
        os._exit(0)
    for end in (tell, alive, hold):
        os.close(end)
    os.waitpid(child, 0)
    with os.fdopen(results, "rb") as answer:
        return int(answer.read())


def pidfd(process: Process) -> int | None:
    """A descriptor of exactly this process, or None if it is gone."""
    try:
        fd = os.pidfd_open(process.pid)
    except OSError:
        return None
    about = _stat(process.pid)
    if about is not None and about.process == process:
        return fd
    os.close(fd)
    return None
