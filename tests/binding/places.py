"""Where this process has the arena, and what waits in it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from procession import _core

_ARENA = "/memfd:procession (deleted)"
_PAGE = 4096


def blocks() -> int:
    """How many blocks somebody in the family has."""
    return _core.arena_statistics()["blocks"]


def mappings() -> Iterator[tuple[int, int, str]]:
    """Begin, bytes and mode of each mapping of the arena."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        where, mode, *rest = line.split(maxsplit=5)
        if rest[-1] == _ARENA:
            begin, end = (int(number, 16) for number in where.split("-"))
            yield begin, end - begin, mode


def in_child(work: Callable[[], None]) -> None:
    """Run it in a forked child; what it raises fails the test."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException as error:
            os.write(2, repr(error).encode())
            os._exit(1)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


def private_bytes() -> int:
    """Of all private mappings of the arena."""
    return sum(size for _, size, mode in mappings() if mode.endswith("p"))


def wait_until_it_sleeps(thread: int) -> None:
    """Until this thread sleeps on a word of the arena's head: it waits for room there."""
    base = next(begin for begin, _, mode in mappings() if mode.endswith("s"))
    while True:
        call = Path(f"/proc/self/task/{thread}/syscall").read_text().split()
        if len(call) > 1 and base <= int(call[1], 16) < base + _PAGE:
            return
        time.sleep(0.001)
