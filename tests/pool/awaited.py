"""What coroutines have a pool do."""

from __future__ import annotations

import os
import signal


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
