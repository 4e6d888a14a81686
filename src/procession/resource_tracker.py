"""The resource tracker: the standard library's own, but shared memory needs none here.

Programs take their shared memory off the tracker's list, as it would be removed too early
otherwise; ours never stands on it.
"""

from __future__ import annotations

from typing import Any

from procession._launch import stdlib

__all__ = ["ensure_running", "register", "unregister"]

_OURS = "shared_memory"

ensure_running: Any


def register(name: str, rtype: str) -> None:
    """Have something removed when all processes of the program have ended.

    Args:
        name: its name in the system.
        rtype: "semaphore"; for "shared_memory" nothing is done.
    """
    if rtype != _OURS:
        stdlib.borrow("resource_tracker").register(name, rtype)


def unregister(name: str, rtype: str) -> None:
    """Take it off the list again; arguments as in register()."""
    if rtype != _OURS:
        stdlib.borrow("resource_tracker").unregister(name, rtype)


def __getattr__(name: str) -> Any:
    return stdlib.borrowed(__name__, "resource_tracker", name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
