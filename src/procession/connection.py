"""Connections, and waiting for several things: the standard library's own.

``wait()`` takes sentinels of our processes beside sockets and connections. Loaded at the first use.
"""

from __future__ import annotations

from typing import Any

from procession._launch import stdlib

__all__ = [
    "Client",
    "Connection",
    "Listener",
    "Pipe",
    "wait",
]

Client: Any
Connection: Any
Listener: Any
Pipe: Any
wait: Any


def __getattr__(name: str) -> Any:
    return stdlib.borrowed(__name__, "connection", name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
