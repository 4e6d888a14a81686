"""The launch contract, and the table of start methods.

A start method is one function: it takes something startable and returns a running ``Child``.
Everything above (``Process``, contexts, pools) talks to this contract only, so a further start
method is one more entry in the table.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from typing import Protocol

from procession._launch import exits, streams


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
    """What a launcher needs of a process object.

    Start methods that do not copy the process pickle the whole object.
    """

    @property
    def name(self) -> str:
        """Name used in error reports."""

    @property
    def _shares_sentinel(self) -> bool:
        """Whether children that are forked later may keep the sentinel open."""

    @property
    def _held_back(self) -> Collection[int] | None:
        """The signals held back while its start waits in the main thread; None: as at its call."""

    def _environment(self) -> Mapping[str, str | None]:
        """Changes to the environment, to be made before anything is imported; None removes."""

    def _bootstrap(self) -> int:
        """Run in the child; returns its exit code."""

    def _adopt(self, child: Child) -> object:
        """Called in the parent as soon as the child runs, before any signal handler can."""

    def _ended(self) -> object:
        """Called in the parent once the exit code is known."""


Launcher = Callable[[Startable], Child]

_OURS = ("fork", "spawn", "forkserver")
_launchers: dict[str, Launcher] = {}  # ours are loaded when needed, and enter themselves
# As the stdlib: fork is the default up to Python 3.13, forkserver from then on.
_DEFAULT = "fork" if sys.version_info < (3, 14) else "forkserver"
_ORDER = (_DEFAULT, *(method for method in _OURS if method != _DEFAULT))
_chosen: str | None = None


def register(method: str, launcher: Launcher) -> None:
    """Enter a start method into the table."""
    _launchers[method] = launcher


def available() -> list[str]:
    """Names of the start methods that exist here, the default one first."""
    return [*_ORDER, *sorted(_launchers.keys() - set(_ORDER))]


def launch(startable: Startable, method: str | None = None) -> Child:
    """Start a process by the named method, or by the one in force."""
    method = method or settle()
    exits.check_start()
    streams.occupy()
    if method not in _launchers and method in _OURS:
        import_module(f"procession._launch.{method}")
    return _launchers[method](startable)


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
