"""``procession locks PID``: who holds what, who waits for it, and where in the code they stand."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from typing import Any

from procession._cli import holdings
from procession._observe import census, deadlocks, families
from procession._observe.census import Census
from procession._observe.deadlocks import Deadlock

# What the exit status says.
_FINE, _DEADLOCK, _ERROR = range(3)

_BETWEEN = 0.05
"""Seconds between the two looks that it takes to call something a deadlock."""


def show(pid: int, *, everything: bool = False, as_json: bool = False) -> int:
    """Print how things stand in the family of process `pid`; returns the exit status.

    `everything`: also things that nobody holds or waits for. `as_json`: for programs.
    """
    try:
        arena = families.open_family(pid)
    except families.CanNotLook as error:
        print(f"procession locks: {error}", file=sys.stderr)
        return _ERROR
    try:
        seen, found = _look(arena, pid)
    finally:
        os.close(arena)
    if as_json:
        print(json.dumps(holdings.as_data(seen, found), indent=2))
    else:
        print(holdings.as_text(seen, found, everything=everything))
    return _DEADLOCK if any(deadlock.certain for deadlock in found) else _FINE


def _look(arena: int, pid: int) -> tuple[Census, list[Deadlock]]:
    seen = census.look(arena)
    threads = _threads(seen, pid)
    suspected = deadlocks.find(seen, threads)
    if not suspected:
        return seen, []
    time.sleep(_BETWEEN)
    seen = census.look(arena)
    return seen, deadlocks.lasting(suspected, deadlocks.find(seen, threads))


def _threads(seen: Census, pid: int) -> dict[int, int]:
    """How many threads each process has, if the family's process ids are valid out here."""
    if all(process.pid != pid for process in seen.processes):
        return {}
    counts = {process.token: families.count_threads(process.pid) for process in seen.processes}
    return {token: count for token, count in counts.items() if count is not None}


def add_to(commands: Any) -> None:
    """Add the command to those that argparse knows."""
    parser = commands.add_parser(
        "locks",
        help="show who holds which lock in a running program, and who waits for it",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("pid", metavar="PID", type=int, help="any process of the program's")
    parser.add_argument(
        "--all",
        dest="everything",
        action="store_true",
        help="also show what nobody holds or waits for",
    )
    parser.add_argument("--json", dest="as_json", action="store_true", help="for programs")


_DESCRIPTION = """\
Show who holds what of all that a program's processes share (locks, semaphores, events, queues ...),
who waits for it, and where in the code they stand. Give the pid of any of its processes. The
program is not stopped, nor changed.
"""

_EPILOG = """\
exit status: 0: no deadlock; 1: there is one; 2: the program can not be looked at.
"""
