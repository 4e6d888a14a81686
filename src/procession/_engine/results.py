"""What a pool's calls return: outcomes of tasks, once there are any."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, NoReturn, Protocol

from procession import errors
from procession._engine.asynchronous import Pump
from procession._engine.checking import check_timeout
from procession._engine.engine import Engine
from procession._engine.entries import Task
from procession._engine.maps import MapJob
from procession._engine.options import Options
from procession._engine.streams import StreamJob
from procession._threads import have_ended

__all__ = [
    "ApplyResult",
    "AsyncResult",
    "IMapIterator",
    "IMapUnorderedIterator",
    "MapResult",
]


class Owner(Protocol):
    """The pool that a call was made through; it is kept alive until the outcome is here."""

    _engine: Engine
    _options: Options


class AsyncResult(Task):
    """What ``apply_async`` returns: the outcome of one task, once there is one."""

    __slots__ = ("__dict__",)

    _owner: Owner | None
    """Its pool, kept alive until the outcome is here."""

    def ready(self) -> bool:
        """Whether there is an outcome."""
        return self._wait(0)

    def successful(self) -> bool:
        """Whether the outcome is a value. Raises ValueError if there is none yet."""
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        return self.outcome()[0]

    def wait(self, timeout: float | None = None) -> None:
        """Wait for the outcome, at most `timeout` seconds (None: without limit)."""
        if timeout is not None:
            check_timeout(timeout)
        self._wait(timeout)

    def get(self, timeout: float | None = None) -> Any:
        """The value, or raises what the task raised.

        Raises:
            TimeoutError: no outcome within `timeout` seconds (None: without limit).
            WorkerDied: the task's worker ended before it answered.
            PoolTerminated: the pool was terminated first.
        """
        if timeout is not None:
            check_timeout(timeout)
        pool = self._owner
        if self.answer is None and pool is not None and not pool._engine.wait(self, timeout):
            raise errors.TimeoutError(f"no result within {timeout} seconds")
        success, value = self._decoded or self.outcome()
        self._owner = None
        if success:
            return value
        raise value

    def cancel(self) -> bool:
        """Cancel the task, also while it runs: its process is killed, and replaced.

        Returns:
            False if there is an outcome already; else ``get`` raises ``CancelledError``.
        """
        pool = self._owner
        return pool is not None and pool._engine.cancel(self)

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a result can not be pickled: it belongs to its pool's process; send what get() returns"
        )

    def _wait(self, timeout: float | None) -> bool:
        pool = self._owner
        if self.answer is None and pool is not None:
            return pool._engine.wait(self, timeout)
        return True


ApplyResult = AsyncResult


class MapResult(AsyncResult):
    """What ``map_async`` and ``starmap_async`` return: the outcome of all the items together."""

    __slots__ = ("_job", "_pool")

    def __init__(self, pool: Owner, job: MapJob) -> None:
        super().__init__(None, job.function, pool._options)
        self._pool: Owner | None = pool  # kept alive until the outcome is here
        self._job = job

    def get(self, timeout: float | None = None) -> Any:
        """The list of values, or raises what the first item that failed raised.

        Raises:
            TimeoutError: no outcome within `timeout` seconds (None: without limit).
            WorkerDied: the worker of one of the items ended before it answered.
            PoolTerminated: the pool was terminated first.
        """
        self.wait(timeout)
        if self._job.answer is None:
            raise errors.TimeoutError(f"no result within {timeout} seconds")
        self._pool = None
        return super().get()

    def outcome(self) -> tuple[bool, Any]:
        """``(True, list of values)`` or ``(False, exception)``; only when there is one."""
        bar = self._job.bar
        if bar is not None:
            bar.close(False)  # it was told how the call ended; this waits until that is shown
        return self._job.outcome()

    def cancel(self) -> bool:
        """Give the call up: what was not begun is not run.

        Returns:
            False if all of it is done already.
        """
        if self._job.answer is not None:
            return False
        self._job.cancel()
        return True

    def _wait(self, timeout: float | None) -> bool:
        return self._job.engine.wait(self._job, timeout)


class IMapIterator(Iterator[Any], AsyncIterator[Any]):
    """What ``imap`` returns: the results one by one, in order; for ``async for``, too.

    Closed, or dropped half-way, what was not begun is not run, and the input is closed. Dropped
    before the first result was asked for, all of it is run by the end of the pool's ``close()``, as
    with the standard library.
    """

    _is_begun = False
    _pump: Pump | None = None

    def __init__(self, pool: Owner, job: StreamJob) -> None:
        self._pool = pool  # kept alive as long as there may be results
        self._job = job

    def __iter__(self) -> IMapIterator:
        return self

    def next(self, timeout: float | None = None) -> Any:
        """The next result, or raises what that item raised; the iteration can go on after it.

        Raises:
            StopIteration: there are no more.
            TimeoutError: none came within `timeout` seconds (None: without limit).
        """
        if timeout is not None:
            check_timeout(timeout)
        self._is_begun = True
        outcome = self._job.next(timeout)
        if outcome is None:
            raise errors.TimeoutError(f"no result within {timeout} seconds")
        success, value = outcome
        if success:
            return value
        raise value

    __next__ = next

    def close(self) -> None:
        """Want no more results."""
        if self._pump is not None:
            self._pump.stop()
        else:
            self._job.close()

    def __aiter__(self) -> IMapIterator:
        return self

    async def __anext__(self) -> Any:
        """The next result, or raises what that item raised; the iteration can go on after it.

        Cancelled, it closes the iteration.

        Raises:
            StopAsyncIteration: there are no more.
        """
        pump = self._pump
        if pump is None:
            self._is_begun = True
            pump = self._pump = Pump(self._job)
        success, value = await pump.next()
        if success:
            return value
        try:
            raise value
        finally:
            del self, value, pump  # its traceback leads here

    async def aclose(self) -> None:
        """Like ``close``, and waits until the input is closed."""
        if self._pump is None:
            self._pump = Pump(self._job)
        await self._pump.close()

    def __del__(self) -> None:
        job: StreamJob | None = getattr(self, "_job", None)
        if job is None or have_ended(job.engine.pid):
            return
        if self._pump is not None:
            self._pump.stop(wait=False)
        elif self._is_begun or job.ends_when_dropped:
            job.drop()


class IMapUnorderedIterator(IMapIterator):
    """What ``imap_unordered`` returns: the results one by one, as they come."""
