"""A program with fail points: a process uses memory and dies at its n-th one; others go on.

    python dying_with_memory.py

For n = 1, 2, 3 ... a forked child makes memory, freezes it, looks at ours, finds it by an address,
and drops it all again; pickles, which would keep it for whoever may receive them, are not made. It
dies at the n-th fail point that it passes. A line of JSON is printed for each n, until nobody died.
"""

from __future__ import annotations

import json
import os
from typing import Any

from procession import _core
from procession._core import Memory

LARGE = bytes(range(256)) * 300


def use(name: tuple[Any, ...]) -> None:
    """All that can be done with memory, ours and its own."""
    ours = _core.arrive(Memory, name)
    view = memoryview(ours)
    assert Memory.at(view[5000:10000]) == (ours, 5000)
    own = memoryview(ours.private(100, 10000))
    own[:5] = b"x" * 5
    made = Memory.holding([LARGE, b"abc"])
    made.freeze()
    small = Memory.holding([b"abc"], results=True)
    small.freeze()
    again = [_core.arrive(Memory, memory._name()) for memory in (made, small)]
    assert again == [made, small]
    del made, small, again, own, view, ours


def survey(before: int, kept: Memory) -> dict[str, Any]:
    """What is left once the dead have been swept."""
    _core.sweep()
    more = Memory.holding([LARGE])  # takes what lies free, under whatever lock the dead had
    right = memoryview(more)[: len(LARGE)] == LARGE and Memory.at(more) is None
    del more
    return {
        "blocks": _core.arena_statistics()["blocks"] - before,
        "arena": _core.validate(),
        "ours": bool(memoryview(kept) == LARGE and kept.frozen),
        "usable": right,
    }


def main() -> None:
    """See above."""
    Memory(1)
    kept = Memory.holding([LARGE])
    kept.freeze()
    before = _core.arena_statistics()["blocks"]
    died = True
    number = 0
    while died:
        number += 1
        child = os.fork()
        if child == 0:
            _core.failpoint_arm(number)
            use(kept._name())
            os._exit(0)
        died = os.waitpid(child, 0)[1] != 0
        print(json.dumps({"died": died, **survey(before, kept)}), flush=True)


if __name__ == "__main__":
    main()
