"""The seam between our engine and another one: what a backend is asked for, five calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple, Protocol

from procession._backends.abilities import Ability


class Loss(NamedTuple):
    """The end of a worker of another engine, as far as the engine tells.

    Attributes:
        cause: why it ended, in words.
        pid: its process id on its node; None if nobody knows.
        node: the machine it ran on; None likewise.
        is_engine: whether the whole engine can run nothing any more.
    """

    cause: str
    pid: int | None = None
    node: str | None = None
    is_engine: bool = False


class Backend(Protocol):
    """Another engine, as ours uses it. All calls may come from any thread, and may block shortly.

    One that can tell since when a task runs has ``running(future)``, too: the seconds since it was
    begun, 0 if it was not, None if that is not known now. It is asked before a task is too late.

    Attributes:
        name: for people: "ray", "threads", "ProcessPoolExecutor".
        abilities: what it can do.
        piece_ns: nanoseconds of a worker's time that a chunk shall take to be worth its journey.
        has_more: whether it would run more at the same time than ``workers()``, if it was given it.
    """

    name: str
    abilities: frozenset[Ability]
    piece_ns: int
    has_more: bool

    def workers(self) -> int:
        """How many tasks it runs at the same time now; at least 1."""

    def submit(self, run: Callable[..., Any], request: Any, handles: Sequence[Any]) -> Future[Any]:
        """Have ``run(request, *values)`` called by a worker.

        Args:
            run: a function that can be imported by its name.
            request: can be pickled; with ``Ability.BY_REFERENCE`` it is handed over as it is.
            handles: what ``put`` returned; the worker gets the values instead.

        Raises:
            Exception: the engine takes nothing any more.
        """

    def put(self, value: Any) -> Any:
        """Have a value kept by the engine, to be sent to each node once; without
        ``Ability.BROADCAST`` the value itself."""

    def stop(self, future: Future[Any]) -> bool:
        """Have a task not run, or end it where it runs (``Ability.STOP``). Whether it is known to
        run no more; else its place stays taken until the future is done."""

    def loss(self, error: BaseException) -> Loss | None:
        """What a future's exception says of a worker's end; None if it says nothing of that."""

    def close(self, *, kill: bool) -> None:
        """Let go of the engine; end what we started of it. What was given to us goes on.

        Args:
            kill: do not wait for what runs.
        """
