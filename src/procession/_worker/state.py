"""Which worker this process is, and what it runs now: for the user's code, tags and log records.

``here`` is written by the worker's loop and read by whoever wants to know; what is read costs
nothing until then.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any

from procession import _core
from procession._worker.diary import Page

_OUTSIDE = (
    "this process is no worker of a pool: {name}() is for tasks, initializers and finalizers, in "
    "the worker itself (a child that it forked is none)"
)


def _nothing() -> None:
    """Stands for a reference whose object is gone."""


class Here(_core.Here):
    """What this process is.

    Attributes:
        seat: the worker's number, from 0; None in a process that is no worker.
        number: the ledger's number of the task that runs; 0 if none does.
        function: the number of its function; 0 for one that travelled with its call.
        known: the worker's functions, by number.
        page: where its last words are kept.
        state: what the initializer returned.
    """

    __slots__ = ("_carried", "known", "page", "seat", "state")

    seat: int | None
    known: dict[int, Callable[..., Any]]
    _carried: Callable[[], object]
    page: Page | None
    state: Any

    def __init__(self) -> None:
        self.page = None
        self.leave()

    def leave(self) -> None:
        """Be no worker: before the seat is taken, and in a worker's forked children."""
        if self.page is not None:
            self.page.leave()
        self.seat = self.page = None
        self.number = self.function = 0
        self._carried = _nothing
        self.state = None
        self.known = {}

    @property
    def carried(self) -> object:
        """A function that is not among the known ones: the last one, if it is still there. What it
        carries shall not stay for our sake."""
        return self._carried()

    @carried.setter
    def carried(self, function: object) -> None:
        try:
            self._carried = weakref.ref(function)
        except TypeError:
            self._carried = _nothing

    def task_name(self) -> str:
        """The function of the task that runs now, for people; "a task" if that is not known."""
        called = self.known.get(self.function, self.carried)
        name: object = getattr(called, "__qualname__", None) or getattr(
            getattr(called, "func", None), "__qualname__", None
        )
        return name if isinstance(name, str) else "a task"

    def task(self) -> str | None:
        """The task that runs now, such as "convert#17"; None if none does."""
        number = self.number
        return f"{self.task_name()}#{number}" if number else None

    def tag(self) -> str:
        """What stands before a line that is printed now: ``"[worker 2 task convert#17] "``."""
        if self.seat is None:
            return ""
        task = self.task()
        return f"[worker {self.seat}] " if task is None else f"[worker {self.seat} task {task}] "


here = Here()

elsewhere = threading.local()
"""What a thread is that runs a task of a pool on another engine: its ``state`` is what that pool's
initializer returned there."""


def worker_state() -> Any:
    """What the pool's initializer returned in this worker; None if there is no initializer.

    Raises:
        RuntimeError: this process is no worker of a pool.
    """
    state = getattr(elsewhere, "state", elsewhere)
    if state is not elsewhere:
        return state
    if here.seat is None:
        raise RuntimeError(_OUTSIDE.format(name="worker_state"))
    return here.state


def worker_id() -> int:
    """This worker's number: a small one, from 0, that no other living worker of the pool has.

    A worker that takes another's place may have its number, or another one.

    Raises:
        RuntimeError: this process is no worker of a pool.
    """
    if here.seat is None:
        raise RuntimeError(_OUTSIDE.format(name="worker_id"))
    return here.seat
