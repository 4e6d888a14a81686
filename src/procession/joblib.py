"""procession as a backend of joblib, and so for the ``n_jobs`` of scikit-learn.

Importing this module registers it under its name::

    import joblib
    import procession.joblib

    with joblib.parallel_config(backend="procession"):
        ...

A call of ``Parallel`` is run by a pool of worker processes that is kept for the next one. Whoever
waits for a list of results collects them himself, and has the next batch sent when one is done: no
thread stands in between, and nobody looks for results every 10 ms. Large arrays travel through
shared memory, once in a call, and arrive writable: each task has a copy of its own of the pages
that it writes to. Arrays in files (``numpy.memmap``) travel by the names of these.
"""

from __future__ import annotations

import os
import warnings
import weakref
from collections import deque
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from procession._codec.objects import loads
from procession._engine.attendant import FULL_RING_STEP, STEP
from procession._engine.entries import FAILURE, Task, function_name
from procession._engine.futures import Future
from procession._engine.packing import Packer
from procession._joblib.arguments import Arguments
from procession._joblib.pools import Pools, checked_words
from procession._launch.cpus import cpu_count
from procession.process import current_process

if TYPE_CHECKING:
    from procession._engine.engine import Engine
    from procession._joblib.pools import Kept

try:
    import joblib
    from joblib.parallel import (
        AutoBatchingMixin,
        FallbackToBackend,
        ParallelBackendBase,
        SequentialBackend,
        TimeoutError,
    )
except ImportError as error:
    raise ImportError(
        "procession.joblib needs joblib 1.5 or newer, which is not here: pip install 'joblib>=1.5'"
    ) from error

__all__ = ["ProcessionBackend", "register", "shutdown"]

NAME = "procession"

_pools = Pools()


def register(*, make_default: bool = False) -> None:
    """Have joblib know the backend by its name, "procession". An import does that already.

    Args:
        make_default: it is used where nobody asks for another one.
    """
    joblib.register_parallel_backend(NAME, ProcessionBackend, make_default=make_default)


def shutdown() -> None:
    """End the pools that are kept for the next call, now; it waits for their workers' end. Those
    that are in use end when they are no more."""
    _pools.end()


class ProcessionBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]
    """The backend. Made by joblib for ``backend="procession"``, or by hand for its keywords.

    Args:
        nesting_level, inner_max_num_threads: as of all joblib backends. The latter is how many
            threads BLAS and OpenMP may use in each worker; None for a worker's share of the CPUs.
        words: about the workers, and for each batch of tasks:

            - ``start_method``: "forkserver" unless it is given.
            - ``initializer``, ``initargs``, ``max_tasks_per_child``: as of ``Executor``.
            - ``env``, ``cwd``, ``nice``, ``cpus``, ``seed``, ``finalizer``, ``memory``,
              ``max_memory``, ``max_age``, ``output``, ``logs``: as of ``Pool``.
            - ``retries``, ``on_death``: as of ``Pool.options``.
            - ``idle_worker_timeout``: seconds after which a pool that is not used ends; 300 unless
              it is given.

    Raises:
        TypeError: an unknown keyword.
        ValueError: one with a value that can not be.
    """

    supports_inner_max_num_threads = True
    supports_return_generator = True
    supports_timeout = True
    # Of one that works for a call that returns a list it is False: joblib has that one ask for
    # each result, and sleep no 10 ms between two looks.
    supports_retrieve_callback = True

    def __init__(
        self,
        nesting_level: int | None = None,
        inner_max_num_threads: int | None = None,
        **words: Any,
    ) -> None:
        super().__init__(
            nesting_level=nesting_level, inner_max_num_threads=inner_max_num_threads, **words
        )
        checked_words(words)
        self.parallel: Any = None
        self._kept: Kept | None = None
        self._call: _Call | None = None

    # ---- before a call

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """How many workers `n_jobs` stands for; counted from the CPUs there are if negative."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is None:
            return 1
        process = current_process()
        if process.daemon or process._is_worker:
            if n_jobs != 1:
                warnings.warn(
                    "a worker of a pool, or another daemonic process, runs its parallel calls one "
                    "by one (n_jobs=1): its pool has the CPUs already",
                    stacklevel=3,
                )
            return 1
        if n_jobs < 0:
            cpus: int = min(joblib.cpu_count(), cpu_count())
            return max(cpus + 1 + n_jobs, 1)
        return n_jobs

    def configure(
        self,
        n_jobs: int = 1,
        parallel: Any = None,
        prefer: str | None = None,
        require: str | None = None,
        max_nbytes: int | None = None,
        mmap_mode: str | None = "r",
        temp_folder: str | None = None,
        verbose: int = 0,
        context: object = None,
        **words: Any,
    ) -> int:
        """Get ready for the calls of `parallel`; how many workers there are.

        Folders for files are not needed, and the multiprocessing context is not ours.
        """
        n_jobs = self.effective_n_jobs(n_jobs)
        if n_jobs == 1:
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        if self.parallel is not parallel:
            # All that is to be known of a call is in a backend of its own. This one may be that of
            # a context, and used by another call before the first one is over.
            own = type(self)(self.nesting_level, self.inner_max_num_threads, **self.backend_kwargs)
            own.parallel = parallel
            own.supports_retrieve_callback = bool(parallel.return_generator)
            raise FallbackToBackend(own)
        self.terminate()
        self._least = None if mmap_mode is None else max_nbytes
        self._kept = _pools.lend(
            n_jobs, self.inner_max_num_threads, {**self.backend_kwargs, **words}
        )
        return n_jobs

    def start_call(self) -> None:
        """A call begins."""
        assert self._kept is not None
        # joblib leaves there what a call that failed did not send, and would send it with this one.
        left = getattr(self.parallel, "_ready_batches", None)
        while left is not None and not left.empty():
            left.get_nowait()
        kind = _Told if self.supports_retrieve_callback else _Call
        self._call = kind(self._kept, Arguments(self._least))

    # ---- a call

    def submit(self, func: Any, callback: Callable[[Any], object] | None = None) -> Any:
        """Send a batch of tasks. `callback` is told when it is done."""
        assert self._call is not None
        return self._call.submit(func, callback or _ignore)

    def retrieve_result(self, out: Any, timeout: float | None = None) -> Any:
        """The results of a batch, once they are here.

        Raises:
            TimeoutError: they were not within `timeout` seconds.
            BaseException: what one of the tasks raised, perhaps of another batch.
        """
        assert self._call is not None
        return self._call.result_of(out, timeout)

    def retrieve_result_callback(self, out: Any) -> Any:
        """The results of a batch, for the callback that was told about it."""
        return out.result()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Take back what is not done, and end what runs. Other calls' tasks are left alone, and
        the pool is ready for the next."""
        if self._call is not None:
            self._call.cancel()

    def stop_call(self) -> None:
        """A call is over."""
        if self._call is not None:
            self._call.end()

    def terminate(self) -> None:
        """Give the pool back, for the next call."""
        kept, self._kept = self._kept, None
        if kept is not None:
            _pools.take_back(kept)
        self.reset_batch_stats()

    def __reduce__(self) -> Any:
        make = partial(type(self), **self.backend_kwargs)
        return make, (self.nesting_level, self.inner_max_num_threads)


def _run(content: bytes) -> Any:
    """In a worker: the results of a batch."""
    return loads(content)()


def _ignore(out: object) -> None:
    """There is nobody to be told."""


class _Call:
    """What one call of ``Parallel`` has under way, for a caller who waits for it all.

    Attributes:
        finished: batches that were answered, in the order of their answers.
    """

    def __init__(self, kept: Kept, arguments: Arguments) -> None:
        self._engine: Engine = kept.engine
        self._options = kept.options
        self._arguments = arguments
        self._packer = Packer(kept.engine, dumps=arguments.dumps)
        self._open: dict[_Batch, None] = {}
        self.finished: deque[_Batch] = deque()

    @property
    def answer(self) -> bool | None:
        """True while there is something to look at; what the core asks for who waits."""
        return True if self.finished else None

    def submit(self, tasks: Any, tell: Callable[[Any], object]) -> Any:
        """Send a batch.

        Raises:
            Exception: whatever pickling raises, or the pool that takes no more.
        """
        batch = _Batch(self, tasks, tell)
        batch.content = self._packer.pack(tasks, self._options)
        self._open[batch] = None
        try:
            self._engine.submit(batch, (bytes(batch.content),), {})
        except BaseException:
            self._open.pop(batch, None)
            raise
        batch.watch()
        return batch

    def result_of(self, batch: _Batch, timeout: float | None) -> Any:
        """A batch's results. Meanwhile all that was answered is told, in its order."""
        deadline = None if timeout is None else monotonic() + timeout
        while batch.results is None:
            done = self._next(deadline)
            if done is None:
                raise TimeoutError(f"a batch of tasks was not done within {timeout} seconds")
            if self._open.pop(done, self) is self:
                continue  # told twice
            success, value = done.outcome()
            if not success:
                try:
                    raise value
                finally:
                    del self, batch, done, value  # its traceback leads here
            done.results = value
            done.tell(done)  # which sends the next: what this one has in shared memory is there
            done.content = b""
        return batch.results

    def _next(self, deadline: float | None) -> _Batch | None:
        """The next batch that was answered; None if there is none until the deadline."""
        engine = self._engine
        while True:
            try:
                return self.finished.popleft()
            except IndexError:
                pass
            step = FULL_RING_STEP if engine.attendant.is_current else STEP
            if deadline is not None:
                left = deadline - monotonic()
                if left <= 0:
                    return None
                step = min(step, left)
            engine.step(self, step)
            if engine.is_finished:
                for batch in list(self._open):
                    engine.settler.fail_latecomer(batch)
                    batch.note()

    def cancel(self) -> None:
        """Take back what is not done: the last first, so that nothing else begins meanwhile."""
        for batch in reversed(list(self._open)):
            self._engine.cancel(batch)

    def end(self) -> None:
        """The call is over: nothing is kept for it in shared memory."""
        self._arguments.forget()
        self._open.clear()


class _Batch(Task):
    """A batch of tasks, of a caller who waits.

    Attributes:
        results: a list of them, when they were looked at.
        tell: to be called with the batch when it is done.
        content: what was sent; it holds what lies in shared memory.
    """

    __slots__ = ("_call", "_is_noted", "_outline", "content", "results", "tell")

    results: Any

    def __init__(self, call: _Call, tasks: Any, tell: Callable[[Any], object]) -> None:
        super().__init__(None, _run, call._options)
        self._call = call
        self._is_noted = False
        self._outline = _outline(tasks)
        self.content = b""
        self.results = None
        self.tell = tell

    def watch(self) -> None:
        """It was sent: have its call know when it is answered."""
        self.attend = True  # first this, then the question: arrive() does it the other way
        if self.answer is not None:
            self.note()

    def arrive(
        self, engine: Engine, kind: int, payload: Any, taken: int, first: int = 0, end: int = 0
    ) -> None:
        super().arrive(engine, kind, payload, taken, first, end)
        if self.answer is not None:
            self.note()

    def note(self) -> None:
        """Have its call know that it is answered. Told twice, it is known once."""
        if not self._is_noted:
            self._is_noted = True
            self._call.finished.append(self)
            self._call._engine.channel.wake(self._call)

    def describe(self, item: int) -> tuple[str, int | None]:
        return self._outline, None


class _Told(_Call):
    """What one call has under way whose results are asked for now and then (a generator): the
    pool's attendant tells when a batch is done."""

    def __init__(self, kept: Kept, arguments: Arguments) -> None:
        super().__init__(kept, arguments)
        self._futures: weakref.WeakSet[_Promise] = weakref.WeakSet()

    def submit(self, tasks: Any, tell: Callable[[Any], object]) -> Any:
        """Send a batch; what can not be sent is a batch that failed, for others may be told."""
        future = _Promise(self._engine, _run, self._options)
        future.outline = _outline(tasks)
        self._futures.add(future)
        try:
            future.content = self._packer.pack(tasks, self._options)
            self._engine.submit(future, (bytes(future.content),), {})
        except Exception as error:
            future.answer = (FAILURE, error, 0)
        future.add_done_callback(partial(self._tell, tell))
        return future

    def _tell(self, tell: Callable[[Any], object], future: _Promise) -> None:
        # It pulls the next tasks from an iterator, which may wait for others of this pool.
        self._engine.attendant.step_aside()
        tell(future)

    def cancel(self) -> None:
        for future in sorted(self._futures, key=_number, reverse=True):
            future.cancel()


class _Promise(Future[Any]):
    """A batch of tasks, of a caller who comes later.

    Attributes:
        content: what was sent; it holds what lies in shared memory.
        outline: what it is, for people.
    """

    content: bytes = b""
    outline = ""

    def describe(self, item: int) -> tuple[str, int | None]:
        return self.outline, None


def _number(future: _Promise) -> int:
    return getattr(future, "number", 0)


def _outline(tasks: Any) -> str:
    """A batch of joblib's, for people: ``f(…)``, or ``a batch of 3: f(…), ...``."""
    items = getattr(tasks, "items", None)
    if not items:
        return function_name(tasks)
    name = f"{function_name(items[0][0])}(…)"
    return name if len(items) == 1 else f"a batch of {len(items)}: {name}, …"


def _forget_in_child() -> None:
    # The pools belong to the parent.
    global _pools
    _pools = Pools()


os.register_at_fork(after_in_child=_forget_in_child)
register()
