"""How many CPUs this process may really use.

The smallest of: the CPUs it may run on (affinity), and the CPU quota of its control group and of
every group above it, cgroup v1 and v2. A quota of one and a half CPUs counts as two.
``PROCESSION_CPU_COUNT`` in the environment overrides it all.
"""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

VARIABLE = "PROCESSION_CPU_COUNT"


class _Mount(NamedTuple):
    kind: str  # "cgroup" or "cgroup2"
    options: frozenset[str]  # v1: names the controllers
    root: PurePosixPath  # which part of the hierarchy is mounted
    point: PurePosixPath  # where


def cpu_count() -> int:
    """Number of CPUs this process may use, at least 1. Read anew on every call.

    Raises ValueError if PROCESSION_CPU_COUNT is set to something else than a positive number.
    """
    forced = os.environ.get(VARIABLE)
    if forced:
        return _positive(forced)
    allowed = _affinity()
    quota = cgroup_quota()
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


def cgroup_quota(root: Path = Path("/")) -> float | None:
    """The tightest CPU quota, in CPUs, on this process's control groups; None if there is none.

    `root` stands for the file system's root (tests pass a made-up one).
    """
    quotas = [q for folder, kind in _group_folders(root) if (q := _quota(folder, kind)) is not None]
    return min(quotas, default=None)


def _positive(text: str) -> int:
    try:
        count = int(text)
    except ValueError:
        count = 0
    if count < 1:
        raise ValueError(f"{VARIABLE} must be a positive whole number, not {text!r}")
    return count


def _affinity() -> int:
    if sys.version_info >= (3, 13):
        # Also heeds -X cpu_count and PYTHON_CPU_COUNT.
        return os.process_cpu_count() or 1
    return len(os.sched_getaffinity(0))


def _group_folders(root: Path) -> Iterator[tuple[Path, str]]:
    """Our own group's folder and those of all groups above it, as far as they are mounted."""
    groups = dict(_own_groups(root))
    for mount in _mounts(root):
        if mount.kind == "cgroup2":
            path = groups.get("")
        elif "cpu" in mount.options:
            path = groups.get("cpu")
        else:
            continue
        if path is None:
            continue
        folder = root / mount.point.relative_to("/")
        yield folder, mount.kind
        # Outside of what is mounted (a container seen from within): the mount's own root is all.
        if ".." not in path.parts and path.is_relative_to(mount.root):
            for part in path.relative_to(mount.root).parts:
                folder /= part
                yield folder, mount.kind


def _own_groups(root: Path) -> Iterator[tuple[str, PurePosixPath]]:
    """(controller, path of our group) for v1, ("", path) for v2."""
    for line in _lines(root / "proc/self/cgroup"):
        fields = line.split(":", 2)  # the path may contain colons, too
        if len(fields) == 3:
            for controller in fields[1].split(","):
                yield controller, PurePosixPath(fields[2] or "/")


def _mounts(root: Path) -> Iterator[_Mount]:
    for line in _lines(root / "proc/self/mountinfo"):
        fields = line.split(" ")
        if "-" not in fields or len(fields) < fields.index("-") + 4:
            continue
        kind, _, options = fields[fields.index("-") + 1 :][:3]
        if kind in ("cgroup", "cgroup2"):
            yield _Mount(
                kind,
                frozenset(options.split(",")),
                PurePosixPath(_unescape(fields[3])),
                PurePosixPath(_unescape(fields[4])),
            )


def _unescape(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


def _quota(folder: Path, kind: str) -> float | None:
    if kind == "cgroup2":
        words = " ".join(_lines(folder / "cpu.max")).split()
    else:
        words = [*_lines(folder / "cpu.cfs_quota_us"), *_lines(folder / "cpu.cfs_period_us")]
    try:
        quota, period = (int(word) for word in words)
    except ValueError:  # "max", or no such file
        return None
    return quota / period if quota > 0 and period > 0 else None


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_bytes().decode("utf-8", "surrogateescape")
    except OSError:
        return []
    # Not splitlines(): a group's name may contain what that takes for the end of a line.
    return text.removesuffix("\n").split("\n")
