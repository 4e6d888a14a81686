"""One way to use both doors: what went wrong in the field must go right behind each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

import procession
import procession.futures
import procession.pool

mp: Any = procession
Pool: Any = procession.pool.Pool
Executor: Any = procession.futures.Executor


class Door:
    """A pool or an executor of so many workers; leaving the with-block ends it."""

    name: str

    def __init__(self, workers: int, method: str | None = None, **options: Any) -> None:
        self.made: Any = self._open(workers, mp.get_context(method) if method else None, options)

    def _open(self, workers: int, context: Any, options: dict[str, Any]) -> Any:
        raise NotImplementedError

    def submit(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Begin one call, with these options; the result has ``get`` or ``result``."""
        raise NotImplementedError

    def get(self, result: Any, timeout: float | None = None) -> Any:
        """Its value, or raises what it raised."""
        raise NotImplementedError

    def call(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """One call and its value."""
        return self.get(self.submit(function, *args, **options))

    def map(self, function: Callable[..., Any], items: Iterable[Any], **options: Any) -> list[Any]:
        """All values, in order."""
        return list(self._with(options).map(function, items))

    def stream(self, function: Callable[..., Any], items: Iterable[Any], **options: Any) -> Any:
        """The values one by one, in order."""
        raise NotImplementedError

    def _with(self, options: dict[str, Any]) -> Any:
        return self.made.options(**options) if options else self.made

    def end(self) -> None:
        """End it at once."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()


class PoolDoor(Door):
    """``Pool``."""

    name = "Pool"

    def _open(self, workers: int, context: Any, options: dict[str, Any]) -> Any:
        return Pool(workers, context=context, **options)

    def submit(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        return self._with(options).apply_async(function, args)

    def get(self, result: Any, timeout: float | None = None) -> Any:
        return result.get(timeout)

    def stream(self, function: Callable[..., Any], items: Iterable[Any], **options: Any) -> Any:
        return self._with(options).imap(function, items)

    def end(self) -> None:
        self.made.terminate()
        self.made.join()


class ExecutorDoor(Door):
    """``Executor``."""

    name = "Executor"

    def _open(self, workers: int, context: Any, options: dict[str, Any]) -> Any:
        return Executor(workers, context, **options)

    def submit(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        return self._with(options).submit(function, *args)

    def get(self, result: Any, timeout: float | None = None) -> Any:
        return result.result(timeout)

    def stream(self, function: Callable[..., Any], items: Iterable[Any], **options: Any) -> Any:
        return self._with(options).map(function, items)

    def end(self) -> None:
        self.made.kill_workers()
        self.made.shutdown()


DOORS: dict[str, type[Door]] = {"Pool": PoolDoor, "Executor": ExecutorDoor}

# For programs of their own: `call(function, *args)` and `map(function, items)` on either door.
PROGRAM_HEAD = """
import os, sys
import procession as mp
from procession.futures import Executor
from procession.pool import Pool

KIND, METHOD = sys.argv[1], sys.argv[2]

def door(workers, **options):
    context = mp.get_context(METHOD)
    if KIND == "Pool":
        return Pool(workers, context=context, **options)
    return Executor(workers, context, **options)

def call(made, function, *args):
    if KIND == "Pool":
        return made.apply(function, args)
    return made.submit(function, *args).result()
"""


def outcome(get: Callable[[], Any], *errors: type[BaseException]) -> Any:
    """What it returns; or what it raises, if that is one of these."""
    try:
        return get()
    except errors as error:
        return error


def square(x: int) -> int:
    return x * x
