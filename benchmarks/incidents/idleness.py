"""What the processes of a session cost: CPU time and wake-ups, as the kernel counts them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Spent:
    """What processes have used since they began.

    Attributes:
        cpu: seconds of CPU time of each, by its number.
        wakeups: how often each has gone to sleep and been woken, in all its threads.
    """

    cpu: dict[int, float]
    wakeups: dict[int, int]

    @classmethod
    def by(cls, pids: Iterable[int]) -> Spent:
        """What these have used until now."""
        found = list(pids)
        return cls({pid: cpu(pid) for pid in found}, {pid: wakeups(pid) for pid in found})

    def since(self, before: Spent) -> Spent:
        """What has come on top; of a process that is new, all.

        Raises:
            ValueError: a process has ended, and what it used meanwhile is not known.
        """
        ended = before.cpu.keys() - self.cpu.keys()
        if ended:
            raise ValueError(f"{len(ended)} processes ended though nothing happened")
        return Spent(
            {pid: spent - before.cpu.get(pid, 0.0) for pid, spent in self.cpu.items()},
            {pid: number - before.wakeups.get(pid, 0) for pid, number in self.wakeups.items()},
        )


def everybody_else() -> list[int]:
    """The other processes of this session that are alive: a cell has one of its own."""
    session, own = os.getsid(0), os.getpid()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has just ended
                continue
            if fields[0] not in "ZX" and int(fields[3]) == session and int(entry.name) != own:
                found.append(int(entry.name))
    return found


def cpu(pid: int) -> float:
    """Seconds of CPU time, user's and system's, of all its threads, ended ones too.

    What ``/proc/PID/stat`` says comes in ticks of 10 ms: too coarse for idle processes. The
    process's CPU clock has the same sum in nanoseconds.
    """
    return time.clock_gettime_ns(clock_of(pid)) * 1e-9


def clock_of(pid: int) -> int:
    """The number of a process's CPU clock, as ``clock_getcpuclockid(3)`` makes it on Linux."""
    return (~pid << 3) | 2


def wakeups(pid: int) -> int:
    """How often its threads have gone to sleep of their own accord."""
    total = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        try:
            _, _, rest = status.read_text().partition("\nvoluntary_ctxt_switches:")
        except OSError:  # the thread has just ended
            continue
        total += int(rest.split(maxsplit=1)[0])
    return total
