"""``procession memory [PID]``: who has how much of a program's shared memory, and for what."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from dataclasses import asdict
from typing import Any

from procession._observe import families
from procession._observe.memory import MemorySnapshot, look

# What the exit status says.
_FINE, _ERROR = 0, 2


def show(pid: int | None = None, *, as_json: bool = False) -> int:
    """Print how memory is used in the family of process `pid`; returns the exit status.

    Without a `pid`: in all families that this user may look at. `as_json`: for programs.
    """
    try:
        seen = [_look(pid)] if pid is not None else _look_at_all()
    except families.CanNotLook as error:
        print(f"procession memory: {error}", file=sys.stderr)
        return _ERROR
    if as_json:
        print(json.dumps(_as_data(seen, alone=pid is not None), indent=2))
    elif seen:
        print("\n\n".join(_as_text(pids, snapshot) for pids, snapshot in seen))
    else:
        print("no program that this user may look at shares anything by procession")
    return _FINE


def _look(pid: int) -> tuple[list[int], MemorySnapshot]:
    arena = families.open_family(pid)
    try:
        return [], look(arena)
    finally:
        os.close(arena)


def _look_at_all() -> list[tuple[list[int], MemorySnapshot]]:
    with contextlib.ExitStack() as opened:
        families_found = families.open_all()
        for _, arena in families_found:
            opened.callback(os.close, arena)
        return [(pids, look(arena)) for pids, arena in families_found]


def _as_text(pids: list[int], snapshot: MemorySnapshot) -> str:
    return f"{_of(pids)}{snapshot}"


def _of(pids: list[int]) -> str:
    if not pids:
        return ""
    more = f" and {len(pids) - 1} more" if len(pids) > 1 else ""
    return f"process {pids[0]}{more}: "


def _as_data(seen: list[tuple[list[int], MemorySnapshot]], *, alone: bool) -> Any:
    if alone:
        return asdict(seen[0][1])
    return [{"pids": pids, **asdict(snapshot)} for pids, snapshot in seen]


def add_to(commands: Any) -> None:
    """Add the command to those that argparse knows."""
    parser = commands.add_parser(
        "memory",
        help="show who has how much of a running program's shared memory",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "pid",
        metavar="PID",
        type=int,
        nargs="?",
        help="any process of the program's; without it, all programs that can be looked at",
    )
    parser.add_argument("--json", dest="as_json", action="store_true", help="for programs")


_DESCRIPTION = """\
Show how much memory the processes of a program share, how much of it they may use at most, who has
it, and what for. Give the pid of any of its processes. The program is not stopped, nor changed.
"""

_EPILOG = """\
exit status: 0; or 2: the program can not be looked at.
"""
