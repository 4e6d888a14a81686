"""What /proc tells about the memory of processes, and a program's end as JSON."""

from __future__ import annotations

from pathlib import Path


def rollup(pid: int) -> dict[str, int]:
    """The sums over all mappings of a process, by name, in bytes."""
    return _sums(Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])


def of_arena(pid: int) -> dict[str, int]:
    """The same of its mappings of the arena alone."""
    lines: list[str] = []
    is_arena = False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        name = line.split()[0]
        if not name.endswith(":"):
            is_arena = "/memfd:procession" in line
        elif is_arena and name != "VmFlags:":
            lines.append(line)
    return _sums(lines)


def _sums(lines: list[str]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for line in lines:
        name, number, *unit = line.split()
        if unit == ["kB"]:
            sums[name[:-1]] = sums.get(name[:-1], 0) + 1024 * int(number)
    return sums


def private(sums: dict[str, int]) -> int:
    """Bytes that nobody else has."""
    return sums["Private_Dirty"] + sums["Private_Clean"]
