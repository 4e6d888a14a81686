"""``Executor``: the pool behind the interface of ``concurrent.futures``.

It takes the place of ``ProcessPoolExecutor``, and its futures are
``concurrent.futures.Future``: they work with ``wait()``, ``as_completed()`` and ``asyncio``. What
differs, on purpose:

- A worker that dies costs the task it was at (``WorkerDied``, a ``BrokenProcessPool``) and nothing
  else; the executor goes on.
- ``cancel()`` also ends a task that runs already.
- ``map()`` pulls an iterator only as far as its results are consumed.

Who asks a future for its result collects it himself; no thread stands in between. Only where
others are to be told (callbacks, ``wait()``, asyncio) the pool's attendant does that.
"""

from __future__ import annotations

import atexit
import concurrent.futures
import operator
import os
import threading
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sized
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar

from procession._engine.checking import check_context, check_timeout, worker_count
from procession._engine.engine import Engine
from procession._engine.entries import FAILURE
from procession._engine.futures import Future
from procession._engine.opening import agree_terms, split_words
from procession._engine.options import Options
from procession._engine.policy import PoolState
from procession._engine.sources import Pulled
from procession._launch.cpus import cpu_count
from procession._threads import have_ended
from procession.pool_worker import launch_worker
from procession.process import BaseProcess, active_children

if TYPE_CHECKING:
    from types import TracebackType

    from procession._backends.opening import Choice
    from procession._engine.hiring import Terms
    from procession._engine.streams import StreamJob

__all__ = ["Executor", "Future", "ProcessPoolExecutor"]

_T = TypeVar("_T")
_P = ParamSpec("_P")


class _Workforce:
    """What an executor and the views on it share: an engine, from its first use on."""

    def __init__(self, open_engine: Callable[[], Engine]) -> None:
        self.engine: Engine | None = None
        self._open_engine = open_engine
        self._is_over = False
        self._lock = threading.RLock()

    def start(self) -> Engine:
        """The engine; its workers are started now."""
        with self._lock:
            if self._is_over:
                raise RuntimeError(_OVER)
            if self.engine is None:
                if _is_all_finished:
                    raise RuntimeError("cannot schedule new futures after interpreter shutdown")
                engine = self._open_engine()
                _engines.add(engine)
                self.engine = engine
            return self.engine

    def processes(self) -> dict[int, BaseProcess]:
        """The worker processes there are, by their process ids."""
        engine = self.engine
        pids = set() if engine is None else engine.supervisor.pids()
        return {child.pid: child for child in active_children() if child.pid in pids}

    def close(self) -> Engine | None:
        """Take no more; the engine, if there is one."""
        self._is_over = True
        with self._lock:
            engine = self.engine
        if engine is not None and engine.pid == os.getpid():
            engine.close()
            return engine
        return None

    def __del__(self) -> None:
        # As the standard library's: a forgotten executor does what it was given, and ends.
        engine = self.engine
        if engine is not None and engine.is_running() and not have_ended(engine.pid):
            engine.close()


def _start(workers: int, terms: Terms) -> Engine:
    engine = Engine(workers)
    engine.start(terms)
    return engine


class Executor(concurrent.futures.Executor):
    """A pool of worker processes to which calls are submitted.

    The workers start with the first call. Made with the arguments of ``ProcessPoolExecutor``;
    those that have other names here are explained with ``Pool``.

    Args:
        max_workers: how many workers; None for as many as this process may use CPUs.
        mp_context: a context object; its start method is used.
        initializer: called with `initargs` once in each worker, before its first task.
        max_tasks_per_child: after so many tasks (chunks count as one) a worker is replaced by a
            fresh one; None for never. Any start method will do.
        backend, backend_options: where the calls run; see ``Pool``. Elsewhere `max_workers` is the
            number of calls at the same time, at most.
        words: more about the workers (``env``, ``finalizer``, ``max_memory``, ``output``, ...; see
            ``Pool``), and defaults for all calls, by the names in ``Executor.options``.

    Raises:
        NotSupported: something the backend can not do.
        ModuleNotFoundError: the backend is not installed.
        ValueError: fewer than one worker or task, more than 4000 workers, or surroundings or
            options that can not be.
        TypeError: an initializer that can not be called, an unknown option, or a wrong type.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: Any = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        *,
        max_tasks_per_child: int | None = None,
        backend: Any = None,
        backend_options: Mapping[str, Any] | None = None,
        **words: Any,
    ) -> None:
        few = "max_workers must be greater than 0"
        workers = (
            cpu_count() if max_workers is None else worker_count("max_workers", max_workers, few)
        )
        check_context("mp_context", mp_context)
        if max_tasks_per_child is not None:
            if not isinstance(max_tasks_per_child, int):
                raise TypeError("max_tasks_per_child must be an integer")
            if max_tasks_per_child < 1:
                raise ValueError("max_tasks_per_child must be >= 1")
        about_workers, options = split_words(words)
        self._options = Options().changed(**options)
        terms = agree_terms(
            # As the standard library's are: in name, and free to have children of theirs.
            partial(launch_worker, kind="Process", daemon=False),
            mp_context,
            initializer,
            initargs,
            max_tasks_per_child,
            **about_workers,
        )
        # The standard library's names for these two are known to many.
        self._max_workers = workers
        self._mp_context = mp_context
        if backend is not None or backend_options is not None:
            from procession._backends.opening import choose

            self._backend = choose(backend, backend_options)
        if self._backend is None:
            self._workforce = _Workforce(partial(_start, workers, terms))
            return
        asked = {"initializer": initializer, "max_tasks_per_child": max_tasks_per_child}
        self._backend.check({**asked, **about_workers}, self._options)
        most = None if max_workers is None else workers
        self._workforce = _Workforce(partial(self._backend.open, most, initializer, terms.initargs))

    _backend: Choice | None = None

    def options(self, **options: Any) -> Executor:
        """The same executor with other defaults for its calls: a view on the same workers.

        Args:
            options: ``timeout``, ``grace``, ``retries``, ``on_death``, ``max_in_flight``, ...; what
                is not given stays as it is here.

        Raises:
            TypeError: there is no such option, or it has another type.
            ValueError: it can not have this value.
            NotSupported: the executor's backend can not follow it.
        """
        view: Executor = object.__new__(type(self))
        changed = self._options.changed(**options)
        if self._backend is not None:
            self._backend.check_options(changed)
        vars(view).update(vars(self), _options=changed)
        return view

    # ---- work

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Have ``fn(*args, **kwargs)`` run in a worker.

        Arguments that can not be pickled are reported by the future.

        Raises:
            RuntimeError: the executor was shut down.
            BrokenProcessPool: it can not run anything any more.
            OSError: the system has no room for so many processes (with the first call).
        """
        engine, is_first = self._workforce.engine, False
        if engine is None:
            engine, is_first = self._workforce.start(), True
        elif engine.fast is not None:
            sent: Future[_T] | None = engine.fast.make(
                Future, engine, fn, self._options, args, kwargs
            )
            if sent is not None:
                return sent
        future: Future[_T] = Future(engine, fn, self._options)
        try:
            engine.submit(future, args, kwargs)
        except Exception as error:
            if self._options.journal is not None:
                raise
            # Workers that can not start may be known not to before the first call is sent.
            if not is_first or engine.state is not PoolState.BROKEN:
                _check_running(engine, error)
            future.answer = (FAILURE, error, 0)
        return future

    def map(
        self,
        fn: Callable[..., _T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[_T]:
        """The values of ``fn``, called with the items of the iterables, in their order.

        Calls begin at once. What has a length is taken whole; an iterator is pulled as results are
        consumed, and to its end when the executor is shut down. An exception ends the iteration,
        and what was not begun then is not run.

        Args:
            timeout: seconds from now until all results are to be there; None for no limit.
            chunksize: how many calls travel together.
            buffersize: how many chunks may be under way or waiting to be consumed, at most; None
                for as many as keep the workers busy.

        Raises:
            TimeoutError: (by the iterator) the time is up.
            RuntimeError: the executor was shut down.
            BrokenProcessPool: it can not run anything any more.
            ValueError: a chunksize or buffersize below 1.
        """
        if type(self).submit is not Executor.submit and buffersize is None:
            # A subclass that has something done with each call gets each one.
            return super().map(fn, *iterables, timeout=timeout, chunksize=chunksize)
        size = operator.index(chunksize)
        if size < 1:
            raise ValueError("chunksize must be >= 1.")
        options = self._options
        if buffersize is not None:
            if not isinstance(buffersize, int):
                raise TypeError("buffersize must be an integer or None")
            if buffersize < 1:
                raise ValueError("buffersize must be None or > 0")
            options = options.changed(max_in_flight=buffersize * size)
        if timeout is not None:
            check_timeout(timeout)
        deadline = None if timeout is None else monotonic() + timeout
        engine = self._workforce.engine or self._workforce.start()
        # A list that is changed behind our back shall not be another input.
        inputs = [
            [*items] if buffersize is None and isinstance(items, Sized) else items
            for items in iterables
        ]
        is_one = len(inputs) == 1
        begin: Callable[..., StreamJob] = engine.stream
        if options.journal is not None:
            from procession._journal.calls import stream_recorded

            begin = partial(stream_recorded, engine)
        try:
            items = inputs[0] if is_one else zip(*inputs, strict=False)
            job = begin(
                fn,
                Pulled(items, whole=size > 1),
                None if size == 1 else size,
                options if is_one else options.changed(star=True),
            )
        except Exception as error:
            _check_running(engine, error)
            raise
        results = _results(job, deadline, timeout)
        return _Closing(job, results) if job.ends_when_dropped else results

    # ---- the end

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls. The workers leave when all that was submitted is done.

        Args:
            wait: return when they are gone, and all callbacks were run.
            cancel_futures: cancel what is not begun. As many tasks as there are workers count as
                begun, even if the workers are only about to take them. Nothing is killed.
        """
        engine = self._workforce.close()
        if engine is None:
            return
        if cancel_futures:
            engine.cancel_waiting()
        if wait:
            engine.join()

    def terminate_workers(self) -> None:
        """End the workers now (SIGTERM, and SIGKILL for those that do not heed it).

        What has no outcome yet gets ``PoolTerminated`` for one. The executor is shut down.
        """
        self._terminate(at_once=False)

    def kill_workers(self) -> None:
        """Like ``terminate_workers``, by SIGKILL."""
        self._terminate(at_once=True)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        """Shut down, and wait until all is done; after an interrupt, end the workers.

        At a terminal the standard library's workers are interrupted, too. Ours leave that to us.
        """
        if exc_type is not None and issubclass(exc_type, KeyboardInterrupt):
            self.terminate_workers()
        self.shutdown()

    def _terminate(self, *, at_once: bool) -> None:
        engine = self._workforce.close()
        if engine is not None:
            engine.terminate(at_once=at_once)

    @property
    def _processes(self) -> dict[int, BaseProcess]:
        """The workers by their process ids, as many programs know it from the standard library."""
        return self._workforce.processes()

    def __reduce__(self) -> NoReturn:
        raise TypeError("an executor can not be passed between processes or pickled")

    def __repr__(self) -> str:
        engine = self._workforce.engine
        state = "not started" if engine is None else engine.state.value
        said = [f"<{type(self).__name__} of {self._max_workers} workers", state]
        return ", ".join(said + self._options.told()) + ">"


def _results(
    job: StreamJob, deadline: float | None, timeout: float | None
) -> Generator[Any, None, None]:
    try:
        while True:
            # No name here for the value, which would live until the next one is asked for.
            yield _next_value(job, deadline, timeout)
    except _NoMoreError:
        pass
    finally:
        job.close()


class _Closing(Iterator[Any]):
    """Results of a job that ends with them, even if none was asked for: a generator would not."""

    def __init__(self, job: StreamJob, results: Generator[Any, None, None]) -> None:
        self._job = job
        self._results = results

    def __next__(self) -> Any:
        return next(self._results)

    def close(self) -> None:
        """Want no more results."""
        self._job.close()

    def __del__(self) -> None:
        if not have_ended(self._job.engine.pid):
            self._job.drop()


def _next_value(job: StreamJob, deadline: float | None, timeout: float | None) -> Any:
    try:
        outcome = job.next(None if deadline is None else max(0.0, deadline - monotonic()))
    except StopIteration:
        raise _NoMoreError from None
    if outcome is None:
        raise TimeoutError(f"not all results came within {timeout} seconds")
    success, value = outcome
    if success:
        return value
    try:
        raise value
    finally:
        del outcome, value  # its traceback leads here


class _NoMoreError(Exception):
    """All results of a map were consumed."""


def _check_running(engine: Engine, error: Exception) -> None:
    """Raise what an engine that takes no more calls says; `error` is why a call was not taken."""
    if engine.pid != os.getpid():
        raise RuntimeError(
            "this executor belongs to another process, of which this one is a fork; make one in "
            "the process that uses it"
        ) from None
    if engine.state is PoolState.BROKEN:
        raise error
    if not engine.is_running():
        raise RuntimeError(_OVER) from None


_OVER = "cannot schedule new futures after shutdown"  # as the standard library says it

_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


_is_all_finished = False


def _finish_all() -> None:
    """Everything that was submitted is done before the interpreter ends."""
    left = []
    for engine in list(_engines):
        _engines.discard(engine)
        if engine.pid == os.getpid():
            try:
                engine.close()
                left.append(engine)
            except RuntimeError:  # Python 3.12.0 and 3.12.1 start no thread any more
                engine.attendant.run()
    for engine in left:
        engine.join()


def _finish_all_the_rest() -> None:
    """What threads that outlived the main one have submitted, and functions of ``atexit``."""
    global _is_all_finished
    _finish_all()
    _is_all_finished = True


def _after_fork() -> None:
    global _is_all_finished
    _is_all_finished = False


try:
    # As the standard library does; behind this 3.12.0 and 3.12.1 start no thread any more.
    threading._register_atexit(_finish_all)  # type: ignore[attr-defined]
except RuntimeError:  # imported behind that: by a thread that goes on, or by a function of atexit
    _is_all_finished = threading.current_thread() is threading.main_thread()
atexit.register(_finish_all_the_rest)
os.register_at_fork(after_in_child=_after_fork)


class ProcessPoolExecutor(Executor):
    """``Executor`` by the standard library's name."""
