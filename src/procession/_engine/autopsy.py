"""Why a worker ended, as far as that can be told: a guess in words, for people.

``likely_cause`` is given the facts; ``oom_kills`` reads the one that must be looked at before and
after: how many processes the kernel has killed for want of memory.
"""

from __future__ import annotations

import contextlib
import re
import signal
from collections.abc import Iterator
from pathlib import Path

from procession._engine.policy import Fate

_FATAL_ERROR = re.compile(r"^Fatal Python error: (.+)$", re.MULTILINE)
_INNERMOST = re.compile(r'^  File "(.+)", line (\d+) in (.+)$', re.MULTILINE)

_MEANING: dict[int, str] = {
    signal.SIGSEGV: "C code read or wrote where it must not (a bug in an extension or a library)",
    signal.SIGBUS: "C code used memory that is not there (a mapped file was cut short, or its "
    "file system is full)",
    signal.SIGABRT: "C code gave up by abort() (a failed assertion, or damaged memory)",
    signal.SIGFPE: "C code divided by zero",
    signal.SIGILL: "C code has an instruction that this CPU does not know (a library built for "
    "another one)",
    signal.SIGSYS: "a system call that is not allowed here (a sandbox's filter)",
    signal.SIGTRAP: "a trap in C code (a failed check, or a debugger's breakpoint)",
    signal.SIGXCPU: "its limit of CPU time was reached (ulimit -t)",
    signal.SIGXFSZ: "its limit of file size was reached (ulimit -f)",
    signal.SIGTERM: "it was asked to end from outside (a service manager, a cluster's scheduler, "
    "kill), or by its own task",
    signal.SIGHUP: "its terminal was closed",
    signal.SIGALRM: "a timer ended (signal.alarm) for which there was no handler",
    signal.SIGQUIT: "somebody typed Ctrl-\\",
}


def likely_cause(
    pid: int,
    exitcode: int | None,
    stack: str,
    fate: Fate,
    oom_before: int | None,
    oom_after: int | None,
) -> str | None:
    """Why a worker ended, in words; None where nothing can be said. Never raises.

    Args:
        pid: its process id.
        exitcode: negative for the signal that killed it; None if nobody knows.
        stack: what faulthandler wrote in it; may be empty.
        fate: what we had in mind with it.
        oom_before, oom_after: ``oom_kills()`` while it lived, the later the better, and after it
            was dead.
    """
    if fate in (Fate.TIMED_OUT, Fate.CANCELLED):
        return str(fate.value)
    if fate is Fate.RETIRED or exitcode is None:
        return None
    if exitcode >= 0:
        return (
            f"process {pid} was ended from inside: os._exit({exitcode}), or exit({exitcode}) in a "
            "C library"
        )
    if exitcode == -signal.SIGKILL:
        return _of_kill(oom_before, oom_after)
    meaning = _MEANING.get(-exitcode)
    place = _place(stack)
    if place is None:
        return meaning
    return f"{meaning}, in {place}" if meaning else f"in {place}"


def _of_kill(before: int | None, after: int | None) -> str:
    if before is None or after is None:
        return "memory ran out (the kernel's log says so: dmesg), or it was sent SIGKILL (kill -9)"
    if after > before:
        return (
            "memory ran out: the kernel's out-of-memory killer ended it; give the container more "
            "memory, or the tasks less at a time (fewer workers, smaller arguments)"
        )
    return (
        "it was sent SIGKILL (kill -9), by others or by its own task; the kernel has counted no "
        "shortage of memory"
    )


def _place(stack: str) -> str | None:
    """Where a fatal signal came: the innermost Python function of a faulthandler's stack."""
    if not _FATAL_ERROR.search(stack):
        return None
    found = _INNERMOST.search(stack)
    return None if found is None else f"{found[3]} ({found[1]}:{found[2]})"


def oom_kills(root: Path = Path("/")) -> int | None:
    """How many processes of our control group were killed for want of memory; None if unknown.

    Where the group has no such counter (the topmost group has none), that of the whole system.

    Args:
        root: where ``proc`` and ``sys`` are.
    """
    for path in (*_counters(root), root / "proc/vmstat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            for line in path.read_text().splitlines():
                name, _, value = line.partition(" ")
                if name == "oom_kill":
                    return int(value)
    return None


def _counters(root: Path) -> Iterator[Path]:
    """The files with our group's counter, the likeliest first: of version 2, then version 1."""
    top = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    groups = [line.split(":", 2) for line in lines if line.count(":") >= 2]
    # In a container, the path may be one of the host's, and our group be mounted at the top.
    for _, controllers, group in groups:
        if not controllers:
            yield from _files(top, group, "memory.events")
    for _, controllers, group in groups:
        if "memory" in controllers.split(","):
            yield from _files(top / "memory", group, "memory.oom_control")


def _files(top: Path, group: str, name: str) -> Iterator[Path]:
    yield top / group.lstrip("/") / name
    if group != "/":
        yield top / name
