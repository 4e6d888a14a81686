"""What coroutines have a pool do, and how they are run."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from tests.plugins.scripts import LIMIT
from tests.pool.gates import Gate


def run(work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """What a coroutine returns, in a loop of its own."""
    return asyncio.run(asyncio.wait_for(work(), LIMIT))


def gated(x: tuple[Gate | None, int]) -> int:
    """The number, once it is let through the gate, if there is one."""
    gate, number = x
    if gate is not None:
        gate.pass_through()
    return number


def square(x: int) -> int:
    """Its square."""
    return x * x


def power(x: int, y: int) -> int:
    """One to the power of the other."""
    return int(x**y)


def refuse_threes(x: int) -> int:
    """A LookupError for multiples of three."""
    if x % 3 == 0:
        raise LookupError(x)
    return x


def die(_: object = None) -> None:
    """End the worker."""
    os.kill(os.getpid(), signal.SIGKILL)
