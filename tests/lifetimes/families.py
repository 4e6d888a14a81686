"""Whole families of processes, as a program: ``python -m tests.lifetimes.families CALL STAGE ...``.

Everybody in them who sleeps or computes for ever has told its pid before.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from procession import context
from procession._launch import exits
from tests.lifetimes.stages import Stage, known_by_path
from tests.lifetimes.victims import reach, sleep, spin


def small(stage: Stage, method: str, moment: str, end: str) -> None:
    """A child, a pool's worker, and a child of that; the parent is at that moment then."""
    mp: Any = context.get_context(method)
    mp.Process(target=sleep, args=(stage,), daemon=True).start()
    pool = mp.Pool(1)
    pool.apply_async(with_child, (stage, method))
    waits = pool.apply_async(sleep, (stage,))
    stage.wait()
    if moment == "idle":
        stage.tell(os.getpid())
        waits.get()
    elif moment == "exiting":
        exits.register_exit(stage.reach, priority=100)
    elif end in ("exit", "descriptors"):
        reach(stage)
    else:
        spin(stage)


SMALL = 3
"""So many tell their pids in a small family before it waits for a word."""


def large(stage: Stage, method: str, inner: str) -> None:
    """Children, grandchildren, pools in pools; all but the parent start by one of two methods."""
    mp: Any = context.get_context(method)
    for target in (sleep, spin):
        mp.Process(target=target, args=(stage,)).start()
    mp.Process(target=with_pool, args=(stage, inner)).start()
    pool = mp.Pool(2)
    pool.apply_async(with_pool, (stage, inner))
    pool.apply_async(with_child, (stage, inner))
    pool.join() if stage.wait() == "join" else os.read(0, 1)


LARGE = 2 + 3 + 3 + 2
"""So many tell their pids in a large family before it waits for a word."""


def with_child(stage: Stage, method: str) -> None:
    """Have a child, and sleep."""
    mp: Any = context.get_context(method)
    mp.Process(target=sleep, args=(stage,)).start()
    sleep(stage)


def with_pool(stage: Stage, method: str) -> None:
    """Have a pool whose workers work, and sleep."""
    mp: Any = context.get_context(method)
    pool = mp.Pool(2)
    pool.map_async(_either, [(sleep, stage), (spin, stage)], 1)
    sleep(stage)


def _either(item: Any) -> None:
    function, stage = item
    function(stage)


if __name__ == "__main__":
    globals()[sys.argv[1]](known_by_path(Path(sys.argv[2])), *sys.argv[3:])
