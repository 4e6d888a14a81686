"""``Pool``: a fixed number of worker processes, and tasks for them.

The door to ``_engine``, with the standard library's names and behaviour. What differs, on purpose:
a worker that dies costs the task it was at (``WorkerDied``) and nothing else; no call waits for
ever; ``imap`` pulls its input as its results are consumed.
"""

from __future__ import annotations

import operator
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, Self

from procession import errors
from procession._codec import messages
from procession._engine.engine import Engine
from procession._engine.entries import Task
from procession._engine.hiring import Terms
from procession._engine.maps import MapJob
from procession._engine.policy import PoolState
from procession._engine.streams import StreamJob
from procession._launch import methods, preparation
from procession._launch.cpus import cpu_count
from procession._launch.surroundings import Surroundings
from procession.errors.pool import MaybeEncodingError, RemoteTraceback
from procession.pool_worker import launch_worker

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Pool"]

_NO_KWDS: Mapping[str, Any] = {}


class AsyncResult(Task):
    """What ``apply_async`` returns: the outcome of one task, once there is one."""

    __slots__ = ("_pool",)

    def __init__(
        self,
        pool: Pool,
        function: Callable[..., Any],
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> None:
        super().__init__(function, callback, error_callback)
        self._pool: Pool | None = pool  # kept alive until the outcome is here

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
        self._wait(timeout)

    def get(self, timeout: float | None = None) -> Any:
        """The value, or raises what the task raised.

        Raises:
            TimeoutError: no outcome within `timeout` seconds (None: without limit).
            WorkerDied: the task's worker ended before it answered.
            PoolTerminated: the pool was terminated first.
        """
        if self.answer is None and not self._wait(timeout):
            raise errors.TimeoutError(f"no result within {timeout} seconds")
        success, value = self.outcome()
        self._pool = None
        if success:
            return value
        raise value

    def _wait(self, timeout: float | None) -> bool:
        pool = self._pool
        if self.answer is None and pool is not None:
            return pool._engine.wait(self, timeout)
        return True


ApplyResult = AsyncResult


class MapResult(AsyncResult):
    """What ``map_async`` and ``starmap_async`` return: the outcome of all the items together."""

    __slots__ = ("_job",)

    def __init__(self, pool: Pool, job: MapJob) -> None:
        super().__init__(pool, job.function)
        self._job = job

    def outcome(self) -> tuple[bool, Any]:
        """``(True, list of values)`` or ``(False, exception)``; only when there is one."""
        return self._job.outcome()

    def _wait(self, timeout: float | None) -> bool:
        return self._job.engine.wait(self._job, timeout)


class IMapIterator(Iterator[Any]):
    """What ``imap`` returns: the results one by one, in order."""

    def __init__(self, pool: Pool, job: StreamJob) -> None:
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
        outcome = self._job.next(timeout)
        if outcome is None:
            raise errors.TimeoutError(f"no result within {timeout} seconds")
        success, value = outcome
        if success:
            return value
        raise value

    __next__ = next


class IMapUnorderedIterator(IMapIterator):
    """What ``imap_unordered`` returns: the results one by one, as they come."""


class Pool:
    """A pool of worker processes to which tasks are submitted.

    Args:
        processes: how many workers; None for as many as this process may use CPUs.
        initializer: called with `initargs` once in each worker, before its first task.
        maxtasksperchild: after so many tasks (chunks count as one) a worker is replaced by a fresh
            one; None for never.
        context: a context object; its start method is used.
        env: environment variables for the workers; None as a value removes one.
        cwd: the folder they work in.
        nice: by how much to raise their nice value.
        cpus: the numbers of the CPUs they may run on, or "each" for one CPU each.
        threads: how many threads BLAS and OpenMP may use in each, or "auto" for its share.
        seed: makes each worker's ``random`` and ``numpy.random`` reproducible.

    Raises:
        ValueError: fewer than one process or task, or surroundings that can not be.
        TypeError: an initializer that can not be called, or a wrong type.
        OSError: the system has no room for so many processes.
        RuntimeError: this process is a child that is just importing the program's main module.
    """

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        context: Any = None,
        *,
        env: Mapping[str, str | None] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        nice: int | None = None,
        cpus: Iterable[int] | str | None = None,
        threads: int | str | None = None,
        seed: int | None = None,
    ) -> None:
        if processes is None:
            processes = cpu_count()
        if processes < 1:
            raise ValueError("Number of processes must be at least 1")
        if maxtasksperchild is not None and not _is_positive_int(maxtasksperchild):
            raise ValueError("maxtasksperchild must be a positive int or None")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        preparation.check_start()
        method = methods.settle() if context is None else context.get_start_method()
        terms = Terms(
            initializer,
            tuple(initargs),
            maxtasksperchild,
            Surroundings.checked(
                env=env, cwd=cwd, nice=nice, cpus=cpus, threads=threads, seed=seed
            ),
            partial(launch_worker, method=method),
        )
        self._ctx = context
        self._engine = Engine(operator.index(processes))
        self._engine.start(terms)

    # ---- one task

    def apply(
        self, func: Callable[..., Any], args: Iterable[Any] = (), kwds: Mapping[str, Any] = _NO_KWDS
    ) -> Any:
        """``func(*args, **kwds)`` in a worker; waits for the result. See ``AsyncResult.get``."""
        return self.apply_async(func, args, kwds).get()

    def apply_async(
        self,
        func: Callable[..., Any],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] = _NO_KWDS,
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult:
        """Have ``func(*args, **kwds)`` run in a worker.

        `callback` is called with its value, or `error_callback` with its exception, in a thread of
        the pool's, before the result counts as ready.

        Raises:
            ValueError: the pool is closed.
            Exception: what pickle says of arguments that can not be pickled.
        """
        if callback is not None or error_callback is not None:
            _require_callable(callback, error_callback)
        result = AsyncResult(self, func, callback, error_callback)
        self._engine.submit(result, tuple(args), dict(kwds))
        return result

    # ---- many items, one call

    def map(
        self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int | None = None
    ) -> list[Any]:
        """``[func(item) for item in iterable]``, spread over the workers.

        The first exception that an item raises is raised here; all items are run, nevertheless.
        Items travel in chunks: of `chunksize`, or else of a size that follows the measured time.
        """
        return self._map_now(messages.MAP, func, iterable, chunksize)

    def starmap(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
    ) -> list[Any]:
        """Like ``map``, but each item is unpacked: ``func(*item)``."""
        return self._map_now(messages.STARMAP, func, iterable, chunksize)

    def map_async(
        self,
        func: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunksize: int | None = None,
        callback: Callable[[list[Any]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> MapResult:
        """Like ``map``, without waiting; callbacks as in ``apply_async``."""
        return self._map_async(messages.MAP, func, iterable, chunksize, callback, error_callback)

    def starmap_async(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: Callable[[list[Any]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> MapResult:
        """Like ``starmap``, without waiting; callbacks as in ``apply_async``."""
        return self._map_async(
            messages.STARMAP, func, iterable, chunksize, callback, error_callback
        )

    def _map_now(
        self, kind: int, func: Callable[..., Any], iterable: Iterable[Any], chunksize: int | None
    ) -> list[Any]:
        engine = self._engine
        self._check_running()
        items, size = _sequence(iterable), _chunk_size(chunksize)
        job = engine.map(kind, func, items, size, attended=True)
        try:
            engine.wait(job)
        except BaseException:  # interrupted: nobody will ask for the rest
            job.abandon()
            raise
        success, value = job.outcome()
        if success:
            values: list[Any] = value
            return values
        raise value

    def _map_async(
        self,
        kind: int,
        func: Callable[..., Any],
        iterable: Iterable[Any],
        chunksize: int | None,
        callback: Callable[[list[Any]], object] | None,
        error_callback: Callable[[BaseException], object] | None,
    ) -> MapResult:
        self._check_running()
        _require_callable(callback, error_callback)
        items, size = _sequence(iterable), _chunk_size(chunksize)
        if items is iterable and isinstance(items, list):
            items = items[:]  # the caller may change his while we are at it
        job = self._engine.map(kind, func, items, size, callback, error_callback, attended=False)
        return MapResult(self, job)

    # ---- many items, results one by one

    def imap(
        self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int = 1
    ) -> IMapIterator:
        """The results one by one, in order. The input is pulled as they are consumed."""
        return IMapIterator(self, self._stream(func, iterable, chunksize, ordered=True))

    def imap_unordered(
        self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int = 1
    ) -> IMapUnorderedIterator:
        """The results one by one, as they come. The input is pulled as they are consumed."""
        return IMapUnorderedIterator(self, self._stream(func, iterable, chunksize, ordered=False))

    def _stream(
        self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int, *, ordered: bool
    ) -> StreamJob:
        self._check_running()
        size = _chunk_size(operator.index(chunksize))
        assert size is not None
        return self._engine.stream(func, iterable, size, ordered=ordered)

    # ---- the end

    def close(self) -> None:
        """Take no more tasks. The workers leave when all that was submitted is done."""
        self._engine.close()

    def terminate(self) -> None:
        """End the workers at once, and wait for their end.

        What has no outcome yet gets ``PoolTerminated`` for one.
        """
        self._engine.terminate()

    def join(self) -> None:
        """Wait for the workers' end. Raises ValueError unless close() or terminate() was called."""
        if self._engine.state is PoolState.RUNNING:
            raise ValueError("Pool is still running")
        self._engine.join()

    def __enter__(self) -> Self:
        self._check_running()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.terminate()

    def __del__(self) -> None:
        engine: Engine | None = getattr(self, "_engine", None)
        if engine is None or not engine.is_running() or engine.pid != os.getpid():
            return
        complaint = f"unclosed running multiprocessing pool {self!r}"  # as the stdlib words it
        try:
            warnings.warn(complaint, ResourceWarning, source=self, stacklevel=2)
        finally:  # also where warnings are errors
            engine.terminate(wait=False)

    def __reduce__(self) -> NoReturn:
        raise NotImplementedError("pool objects cannot be passed between processes or pickled")

    def __repr__(self) -> str:
        kind, engine = type(self), self._engine
        name = f"{kind.__module__}.{kind.__qualname__}"
        return f"<{name} state={_STATES[engine.state]} pool_size={engine.workers}>"

    def _check_running(self) -> None:
        if self._engine.state is not PoolState.RUNNING:
            self._engine.refuse()


_STATES = {
    PoolState.RUNNING: "RUN",
    PoolState.CLOSING: "CLOSE",
    PoolState.BROKEN: "BROKEN",
    PoolState.TERMINATING: "TERMINATE",
}


def _sequence(iterable: Iterable[Any]) -> Sequence[Any]:
    """The items as something that can be sliced without surprises."""
    if type(iterable) in (list, tuple, range, bytes, str):
        items: Sequence[Any] = iterable  # type: ignore[assignment]
        return items
    return list(iterable)


def _is_positive_int(value: object) -> bool:
    return isinstance(value, int) and value > 0


def _require_callable(*callbacks: object) -> None:
    for callback in callbacks:
        if callback is not None and not callable(callback):
            raise TypeError(f"a callback must be callable, not {callback!r}")


def _chunk_size(chunksize: int | None) -> int | None:
    if chunksize is None:
        return None
    size = operator.index(chunksize)
    if size < 1:
        raise ValueError(f"Chunksize must be 1+, not {size}")
    return size


# Names that programs import from multiprocessing.pool.
__all__ += [
    "ApplyResult",
    "AsyncResult",
    "IMapIterator",
    "IMapUnorderedIterator",
    "MapResult",
    "MaybeEncodingError",
    "RemoteTraceback",
]
