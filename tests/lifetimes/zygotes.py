"""What /proc tells about a zygote."""

from __future__ import annotations

import contextlib
from pathlib import Path


def state(pid: int) -> str:
    """The letter of a process's state. Raises OSError if there is no such process."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def spare_of(zygote: int) -> int | None:
    """A child of the zygote's that lives: while it has no other, the one that it keeps ready."""
    children = Path(f"/proc/{zygote}/task/{zygote}/children").read_text().split()
    for pid in map(int, reversed(children)):
        with contextlib.suppress(OSError):  # it was reaped just now
            if state(pid) != "Z":
                return pid
    return None
