"""The launch contract, and the table of start methods.

A start method is one function: it takes something startable and returns a running ``Child``.
Everything above (``Process``, contexts, pools) talks to this contract only, so a further start
method is one more entry in the table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Child(Protocol):
    """A started process as its parent sees it."""

    @property
    def pid(self) -> int:
        """Process id."""

    @property
    def sentinel(self) -> int:
        """A descriptor that becomes readable when the process has ended; valid until close()."""

    def poll(self) -> int | None:
        """Exit code (a signal's number negated), or None while the process runs. Never blocks."""

    def wait(self, timeout: float | None = None) -> int | None:
        """Like poll(), but waits up to `timeout` seconds (None: without limit)."""

    def send_signal(self, signum: int) -> None:
        """Send a signal; no error if the process has ended already."""

    def close(self) -> None:
        """Give the descriptors back. The exit code, once known, stays known."""


class Startable(Protocol):
    """What a launcher needs of a process object."""

    @property
    def name(self) -> str:
        """Name used in error reports."""

    def _bootstrap(self) -> int:
        """Run in the child; returns its exit code."""

    def _adopt(self, child: Child) -> object:
        """Called in the parent as soon as the child runs, before any signal handler can."""


Launcher = Callable[[Startable], Child]

_launchers: dict[str, Launcher] = {}
_DEFAULT = "fork"
_ORDER = (_DEFAULT, "spawn", "forkserver")  # the stdlib's
_chosen: str | None = None


def register(method: str, launcher: Launcher) -> None:
    """Enter a start method into the table."""
    _launchers[method] = launcher


def available() -> list[str]:
    """Names of the start methods that exist here, the default one first."""
    known = [method for method in _ORDER if method in _launchers]
    return known + sorted(_launchers.keys() - set(known))


def launch(startable: Startable, method: str | None = None) -> Child:
    """Start a process by the named method, or by the one in force."""
    return _launchers[method or settle()](startable)


def chosen() -> str | None:
    """The start method in force, or None if nobody has chosen or needed one yet."""
    return _chosen


def choose(method: str | None) -> None:
    """Put a start method in force (None: forget the choice)."""
    global _chosen
    _chosen = method


def settle() -> str:
    """The start method in force; from now on it counts as chosen."""
    global _chosen
    if _chosen is None:
        _chosen = _DEFAULT
    return _chosen
