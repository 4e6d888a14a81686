"""A program with fail points: a process sends shared memory and dies at its n-th one.

    python dying_with_names.py queue|large|pipe|lent|parcel

For n = 1, 2, 3 ... a forked child makes memory, sends it by a queue or a pipe or as what a process
is started with, and dies at the n-th fail point that it passes. We receive what has come, and look
what is left: while the queue or pipe is there, and once it has gone. A line of JSON is printed for
each n, until nobody died.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from typing import Any

import procession
from procession import _core
from procession._core import Memory
from procession._launch import parcel

CONTENT = bytes(range(256)) * 400
REST = b"r" * (300 << 10)  # more than goes over a wire


class Way:
    """What the child sends by, and we receive from."""

    def __init__(self, how: str) -> None:
        self.how = how
        self.queue = procession.Queue(4) if how in ("queue", "large") else None
        self.ends = procession.Pipe() if how in ("pipe", "lent") else None

    def send(self) -> None:
        """In the child."""
        memory = Memory.holding([CONTENT])
        memory.freeze()
        shared = procession.share(bytearray(CONTENT))
        rest = REST if self.how in ("large", "lent") else b""
        if self.queue is not None:
            self.queue.put((memory, shared, rest))
        elif self.ends is not None:
            self.ends[0].send((memory, shared, rest))
        else:
            parcel.pack(_description, (memory, shared))

    def receive(self) -> list[Any]:
        """What has come: nothing, or one."""
        if self.queue is not None:
            return [self.queue.get()] if not self.queue.empty() else []
        if self.ends is not None:
            return [self.ends[1].recv()] if self.ends[1].poll() else []
        return []


class _Description:
    has_main = True


def _description() -> Any:
    return _Description()


def _blocks() -> int:
    gc.collect()
    _core.sweep()
    return _core.arena_statistics()["blocks"]


def attempt(how: str, number: int) -> dict[str, Any]:
    """One death, or none."""
    before = _blocks()
    way = Way(how)
    empty = _blocks()
    child = os.fork()
    if child == 0:
        _core.failpoint_arm(number)
        way.send()
        os._exit(0)
    died = os.waitpid(child, 0)[1] != 0
    _core.sweep()
    came = way.receive()
    right = all(bytes(memory.read(0, len(CONTENT))) == CONTENT for memory, *_ in came) and all(
        bytes(shared) == CONTENT for _, shared, _ in came
    )
    count = len(came)
    del came
    meanwhile = _blocks() - empty
    del way
    return {
        "died": died,
        "came": count,
        "right": right,
        "meanwhile": meanwhile,
        "left": _blocks() - before,
        "arena": _core.validate(),
    }


def main() -> None:
    """See above."""
    Memory(1)
    attempt(sys.argv[1], 1 << 30)  # what is made once
    gc.collect()
    gc.freeze()  # what was imported is not looked through each time
    number = 0
    died = True
    while died:
        number += 1
        report = attempt(sys.argv[1], number)
        died = report["died"]
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
