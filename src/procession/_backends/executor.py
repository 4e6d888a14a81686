"""Any ``concurrent.futures.Executor``: loky, mpi4py, ipyparallel, the standard library's.

It stays its owner's, who ends it. What runs in it can not be stopped, and whether it goes on when a
worker dies is its own affair.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from typing import Any

from procession._backends.abilities import Ability
from procession._backends.seam import Loss
from procession._engine.checking import worker_count
from procession._launch.cpus import cpu_count
from procession.errors.pool import WorkerDied, describe_exit

PIECE_NS = 20_000_000

PATIENCE = 1.0
"""Seconds that the end of the interpreter waits for a submission that is under way."""

_WORKERS = ("_max_workers", "max_workers", "num_workers", "_num_workers")
"""Where executors keep how many workers they have."""


class ExecutorBackend:
    """Runs tasks in somebody else's executor.

    Args:
        executor: that one.
        workers: how many tasks it runs at the same time; None to ask it.
    """

    name = "executor"
    abilities = frozenset({Ability.INITIALIZER})
    piece_ns = PIECE_NS
    has_more = False
    local_advice = "what the executor has itself, or the standard library's multiprocessing"

    def __init__(self, executor: Executor, workers: int | None = None) -> None:
        self.name = type(executor).__name__
        self._executor = executor
        few = "workers must be at least 1"
        self._workers = None if workers is None else worker_count("workers", workers, few)
        self._pid = os.getpid()
        self._submitting = threading.Lock()
        _backends.add(self)

    def workers(self) -> int:
        """As many as it was said to have, or says itself; else as this process may use CPUs."""
        if self._workers is not None:
            return self._workers
        for name in _WORKERS:
            count = getattr(self._executor, name, None)
            if isinstance(count, int) and count > 0:
                return count
        return cpu_count()

    def submit(self, run: Callable[..., Any], request: Any, handles: Sequence[Any]) -> Future[Any]:
        """Hand it to the executor."""
        with self._submitting:
            return self._executor.submit(run, request, *handles)

    def put(self, value: Any) -> Any:
        """The value itself."""
        return value

    def stop(self, future: Future[Any]) -> bool:
        """Have it not begin."""
        return future.cancel()

    def loss(self, error: BaseException) -> Loss | None:
        """A broken executor runs nothing any more; one of ours goes on when a worker dies."""
        if isinstance(error, WorkerDied) and not error.broke_pool:
            how = describe_exit(error.exitcode)
            return Loss(f"{how}; {error.cause}" if error.cause else how, error.pid, error.node)
        if isinstance(error, BrokenExecutor):
            return Loss(f"{type(error).__name__}: {error}", is_engine=True)
        return None

    def close(self, *, kill: bool) -> None:
        """It is not ours."""

    def settle(self) -> None:
        """Wait for a submission that is under way, for a while."""
        if self._pid == os.getpid() and self._submitting.acquire(timeout=PATIENCE):
            self._submitting.release()


_backends: weakref.WeakSet[ExecutorBackend] = weakref.WeakSet()


def _settle_all() -> None:
    """No executor is ended in the middle of a submission, which is when many start their workers.

    The standard library's would leave those it has just started without a word, and wait for them.
    """
    for backend in list(_backends):
        backend.settle()


# After the standard library's, which is in by now: so it is called before that.
with contextlib.suppress(RuntimeError):  # the interpreter is at its end
    threading._register_atexit(_settle_all)  # type: ignore[attr-defined]
