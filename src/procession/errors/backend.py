"""The errors of pools on other engines."""

from __future__ import annotations

from concurrent.futures.process import BrokenProcessPool


class NotSupported(ValueError):
    """What was asked for the pool's engine can not do; the message names those that can."""


class EngineLost(BrokenProcessPool):
    """The engine of the pool can run nothing any more; ``__cause__`` is what it said."""


for _error in (NotSupported, EngineLost):
    _error.__module__ = "procession"  # the name to catch it by, in tracebacks and pickles

__all__ = ["EngineLost", "NotSupported"]
