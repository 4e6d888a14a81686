"""Changes what it finds in submodules, and their own functions see the change."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sized
from multiprocessing import resource_tracker, shared_memory
from typing import Any
from unittest import mock


def note(name: Sized, rtype: str) -> None:
    print(rtype, "registered", flush=True)


def no_pool(*args: Any) -> str:
    return "no pool"


if __name__ == "__main__":
    register = resource_tracker.register
    resource_tracker.register = note
    memory = shared_memory.SharedMemory(create=True, size=1)
    resource_tracker.register = register
    register(memory._name, "shared_memory")  # type: ignore[attr-defined]
    memory.close()
    memory.unlink()
    with mock.patch("multiprocessing.Pool", no_pool):
        print(multiprocessing.Pool(1))
    with multiprocessing.Pool(1) as pool:
        print(pool.apply(abs, (-1,)))
