"""``Pool``: a fixed number of worker processes, and tasks for them.

The door to ``_engine``, with the standard library's names and behaviour. What differs, on purpose:
a worker that dies costs the task it was at (``WorkerDied``) and nothing else; no call waits for
ever; ``imap`` pulls its input as its results are consumed.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeGuard, Unpack

from procession._engine import asynchronous
from procession._engine.checking import check_context, worker_count
from procession._engine.engine import Engine
from procession._engine.opening import agree_terms, split_words
from procession._engine.options import PLAIN, Options, OptionWords
from procession._engine.policy import PoolState
from procession._engine.results import (
    ApplyResult,
    AsyncResult,
    IMapIterator,
    IMapUnorderedIterator,
    MapResult,
)
from procession._engine.sources import Pulled, Sliced, streamed
from procession._engine.streams import StreamJob
from procession._launch import preparation
from procession._launch.cpus import cpu_count
from procession._launch.surroundings import whole
from procession._threads import have_ended
from procession.errors.pool import MaybeEncodingError, RemoteTraceback
from procession.pool_worker import launch_worker

if TYPE_CHECKING:
    from types import TracebackType

    from procession._backends.opening import Choice

__all__ = ["Pool"]

_NO_KWDS: Mapping[str, Any] = {}


class Pool:
    """A pool of worker processes to which tasks are submitted.

    Args:
        processes: how many workers; None for as many as this process may use CPUs.
        initializer: called with `initargs` once in each worker, before its first task.
        maxtasksperchild: after so many tasks (chunks count as one) a worker is replaced by a fresh
            one; None for never.
        context: a context object; its start method is used.
        words: more about the workers, all of them optional:

            - ``env``: environment variables for the workers; None as a value removes one.
            - ``cwd``: the folder they work in.
            - ``nice``: by how much to raise their nice value.
            - ``cpus``: the numbers of the CPUs they may run on, or "each" for one CPU each.
            - ``threads``: how many threads BLAS and OpenMP may use in each, or "auto" for its
              share.
            - ``seed``: makes each worker's ``random`` and ``numpy.random`` reproducible.
            - ``finalizer``: called without arguments in each worker before it leaves in order.
            - ``memory``: how many bytes of arguments and results may be on their way or in use, of
              all pools and queues of this family of processes; see ``procession.memory()``.
            - ``max_memory``: a worker that has grown by so many bytes is replaced.
            - ``max_age``: likewise one that is so many seconds old.
            - ``idle_timeout``: after so many seconds without work all workers but one leave; they
              are back when there is work.
            - ``output``: "tagged" has each line that is printed say by which worker and task.
            - ``logs``: the level from which on log records of the workers reach the loggers here.

            And defaults for all calls, by the names in ``Pool.options``.
        backend: where the tasks run: "processes" (None), "threads", "ray", "dask", a
            ``concurrent.futures.Executor``, or what a function of ``procession.backends`` made.
            Elsewhere `processes` is the number of tasks at the same time, at most.
        backend_options: keywords for the backend.

    Raises:
        NotSupported: something the backend can not do.
        ModuleNotFoundError: the backend is not installed.
        ValueError: fewer than one process or task, more than 4000 processes, or surroundings that
            can not be.
        TypeError: an initializer that can not be called, or a wrong type.
        OSError: the system has no room for so many processes.
        RuntimeError: this process is a child that is just importing the program's main module.
    """

    _whole: Pool | None = None  # of which this is a view
    _options: Options = PLAIN
    _backend: Choice | None = None
    _engine: Engine
    _make: Any = None  # sends the simplest calls: see FastPath.make(); it may leave any to others

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        context: Any = None,
        *,
        backend: Any = None,
        backend_options: Mapping[str, Any] | None = None,
        **words: Any,
    ) -> None:
        few = "Number of processes must be at least 1"
        workers = cpu_count() if processes is None else worker_count("processes", processes, few)
        check_context("context", context)
        if maxtasksperchild is not None and not _is_positive_int(maxtasksperchild):
            raise ValueError("maxtasksperchild must be a positive int or None")
        preparation.check_start()
        about_workers, options = split_words(words)
        self._options = Options().changed(**options)
        terms = agree_terms(
            launch_worker, context, initializer, initargs, maxtasksperchild, **about_workers
        )
        self._ctx = context
        if backend is not None or backend_options is not None:
            from procession._backends.opening import choose

            self._backend = choose(backend, backend_options)
        if self._backend is not None:
            asked = {"initializer": initializer, "maxtasksperchild": maxtasksperchild}
            self._backend.check({**asked, **about_workers}, self._options)
            most = None if processes is None else workers
            self._engine = self._backend.open(most, initializer, terms.initargs)
            return
        self._engine = engine = Engine(workers)
        engine.start(terms)
        self._make = None if engine.fast is None else engine.fast.make

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
        make = self._make
        if make is not None and callback is None and error_callback is None:
            sent: AsyncResult | None = make(AsyncResult, self, func, self._options, args, kwds)
            if sent is not None:
                return sent
        result = AsyncResult(self, func, self._options)
        if callback is not None or error_callback is not None:
            _require_callable(callback, error_callback)
            result.set_callbacks(callback, error_callback)
        self._engine.submit(result, tuple(args), dict(kwds))
        return result

    async def run(self, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """``func(*args, **kwargs)`` in a worker, for ``await``.

        Cancelled, it is taken back; if it runs, its process is killed, and replaced.

        Raises:
            ValueError: the pool is closed.
            WorkerDied: the task's worker ended before it answered.
            PoolTerminated: the pool was terminated first.
        """
        return await asynchronous.run(self._engine, self._options, func, args, kwargs)

    # ---- many items, one call

    def map(
        self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int | None = None
    ) -> list[Any]:
        """``[func(item) for item in iterable]``, spread over the workers.

        The first exception that an item raises is raised here; all items are run, nevertheless.
        Items travel in chunks: of `chunksize`, or else of a size that follows the measured time.
        """
        return self._map_now(self._options, func, iterable, chunksize)

    def starmap(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
    ) -> list[Any]:
        """Like ``map``, but each item is unpacked: ``func(*item)``."""
        return self._map_now(self._starred(), func, iterable, chunksize)

    def map_async(
        self,
        func: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunksize: int | None = None,
        callback: Callable[[list[Any]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> MapResult:
        """Like ``map``, without waiting; callbacks as in ``apply_async``."""
        return self._map_async(self._options, func, iterable, chunksize, callback, error_callback)

    def starmap_async(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: Callable[[list[Any]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> MapResult:
        """Like ``starmap``, without waiting; callbacks as in ``apply_async``."""
        return self._map_async(self._starred(), func, iterable, chunksize, callback, error_callback)

    def _map_now(
        self,
        options: Options,
        func: Callable[..., Any],
        iterable: Iterable[Any],
        chunksize: int | None,
    ) -> list[Any]:
        engine = self._engine
        self._check_running()
        size = _chunk_size(chunksize)
        if options.journal is not None:
            from procession._journal.calls import map_recorded

            return map_recorded(engine, func, iterable, size, options)
        source = Sliced(iterable) if _is_sliced(iterable) else Pulled(iterable)
        job = engine.map(func, source, size, options, attended=True)
        try:
            engine.wait(job)
        except BaseException:  # interrupted, or the input failed: nobody will ask for the rest
            job.cancel()
            raise
        finally:
            if job.bar is not None:
                job.bar.close(False)  # which knows how it ended, or it ended by what is raised
        success, value = job.outcome()
        if success:
            values: list[Any] = value
            return values
        raise value

    def _map_async(
        self,
        options: Options,
        func: Callable[..., Any],
        iterable: Iterable[Any],
        chunksize: int | None,
        callback: Callable[[list[Any]], object] | None,
        error_callback: Callable[[BaseException], object] | None,
    ) -> MapResult:
        self._check_running()
        _require_callable(callback, error_callback)
        if options.journal is not None:
            raise ValueError("map_async has no journal: use map, or imap, which do not wait either")
        size = _chunk_size(chunksize)
        if not _is_sliced(iterable) or isinstance(iterable, list):
            iterable = list(iterable)  # the caller may change his while we are at it
        job = self._engine.map(
            func, Sliced(iterable), size, options, callback, error_callback, attended=False
        )
        return MapResult(self, job)

    # ---- many items, results one by one

    def imap(
        self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int = 1
    ) -> IMapIterator:
        """The results one by one, in order. The input is pulled as they are consumed.

        For ``for``, and for ``async for``, which does not hold up the event loop.
        """
        return IMapIterator(self, self._stream(func, iterable, chunksize, self._options))

    def imap_unordered(
        self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int = 1
    ) -> IMapUnorderedIterator:
        """The results one by one, as they come. The input is pulled as they are consumed."""
        options = self._options.changed(ordered=False)
        return IMapUnorderedIterator(self, self._stream(func, iterable, chunksize, options))

    def istarmap(
        self, func: Callable[..., Any], iterable: Iterable[Iterable[Any]], chunksize: int = 1
    ) -> IMapIterator:
        """Like ``imap``, but each item is unpacked: ``func(*item)``."""
        return IMapIterator(self, self._stream(func, iterable, chunksize, self._starred()))

    def istarmap_unordered(
        self, func: Callable[..., Any], iterable: Iterable[Iterable[Any]], chunksize: int = 1
    ) -> IMapUnorderedIterator:
        """Like ``imap_unordered``, but each item is unpacked: ``func(*item)``."""
        options = self._starred().changed(ordered=False)
        return IMapUnorderedIterator(self, self._stream(func, iterable, chunksize, options))

    def _stream(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Any],
        chunksize: int,
        options: Options,
    ) -> StreamJob:
        self._check_running()
        given = _chunk_size(operator.index(chunksize))
        size = None if given == 1 else given
        _require_iterable(iterable)
        source = streamed(iterable, whole=size is not None)
        if options.journal is not None:
            from procession._journal.calls import stream_recorded

            return stream_recorded(self._engine, func, source, size, options)
        return self._engine.stream(func, source, size, options)

    def _starred(self) -> Options:
        return self._options.changed(star=True)

    # ---- how it works

    def options(self, **changes: Unpack[OptionWords]) -> Self:
        """The same pool with other options, for the calls that are made through what is returned.

        It is a light view: same workers, same life. See ``Options`` for the words.

        Raises:
            TypeError: there is no such option.
            ValueError: an option can not have that value.
            NotSupported: the pool's backend can not follow it.
        """
        view = object.__new__(type(self))
        options = self._options.changed(**changes)
        if self._backend is not None:
            self._backend.check_options(options)
        vars(view).update(vars(self), _options=options, _whole=self)
        return view

    def resize(self, processes: int) -> None:
        """Have so many workers from now on. Those that are too many leave behind their tasks.

        Raises:
            ValueError: fewer than one, or more than a pool can have; or the pool is not running.
            NotSupported: the workers are not the pool's own.
            TypeError: it is no whole number.
        """
        self._check_running()
        self._engine.resize(whole("processes", processes))

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
        if (
            self._whole is not None
            or engine is None
            or not engine.is_running()
            or have_ended(engine.pid)
        ):
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
        said = [f"<{name} state={_STATES[engine.state]} pool_size={engine.workers}"]
        return " ".join(said + self._options.told()) + ">"

    def _check_running(self) -> None:
        if self._engine.state is not PoolState.RUNNING:
            self._engine.refuse()


_STATES = {
    PoolState.RUNNING: "RUN",
    PoolState.CLOSING: "CLOSE",
    PoolState.BROKEN: "BROKEN",
    PoolState.TERMINATING: "TERMINATE",
}


def _is_sliced(iterable: Iterable[Any]) -> TypeGuard[Sequence[Any]]:
    """Whether it can be sliced without surprises; anything else is pulled."""
    return type(iterable) in (list, tuple, range, bytes, str)


def _is_positive_int(value: object) -> bool:
    return isinstance(value, int) and value > 0


def _require_callable(*callbacks: object) -> None:
    for callback in callbacks:
        if callback is not None and not callable(callback):
            raise TypeError(f"a callback must be callable, not {callback!r}")


def _require_iterable(iterable: object) -> None:
    if hasattr(iterable, "__aiter__") and not hasattr(iterable, "__iter__"):
        raise TypeError(
            f"{iterable!r} can only be iterated over by async for: gather its items first, or use "
            "await pool.run(...) for each"
        )


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
