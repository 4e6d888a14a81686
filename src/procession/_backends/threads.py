"""Threads of this process: for work that waits, or lets go of the interpreter's lock.

The threads are daemons: one whose task was given up, and does not end, holds nothing up.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from procession._backends.abilities import Ability
from procession._backends.seam import Loss
from procession._engine.checking import worker_count
from procession._launch.cpus import cpu_count
from procession._threads import Thread

PIECE_NS = 2_000_000

_Call = tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]


class ThreadsBackend:
    """Runs tasks in threads, which are started as they are needed.

    Args:
        workers: how many threads; None for as many as this process may use CPUs.
    """

    name = "threads"
    abilities = frozenset(
        {Ability.BY_REFERENCE, Ability.SURVIVES, Ability.INITIALIZER, Ability.LOCAL_OBJECTS}
    )
    piece_ns = PIECE_NS
    has_more = False

    def __init__(self, workers: int | None = None) -> None:
        few = "workers must be at least 1"
        self._workers = cpu_count() if workers is None else worker_count("workers", workers, few)
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._threads: list[Thread] = []
        self._idle = threading.Semaphore(0)
        self._is_closed = False

    def workers(self) -> int:
        """So many threads there are at most."""
        return self._workers

    def submit(self, run: Callable[..., Any], request: Any, handles: Sequence[Any]) -> Future[Any]:
        """Have it called by the next thread that is free."""
        if self._is_closed:
            raise RuntimeError("the threads have ended")
        future: Future[Any] = Future()
        self._calls.put((future, run, (request, *handles)))
        if not self._idle.acquire(blocking=False) and len(self._threads) < self._workers:
            name = f"procession-thread-{len(self._threads)}"
            thread = Thread(target=self._serve, name=name, daemon=True)
            try:
                thread.start()
            except RuntimeError:  # Python 3.12.0 and 3.12.1 start none when the program ends
                if not self._threads:
                    self._calls.get()
                    _call(future, run, (request, *handles))
            else:
                self._threads.append(thread)
        return future

    def _serve(self) -> None:
        while True:
            call = self._calls.get()
            if call is None:
                return
            _call(*call)
            del call
            self._idle.release()

    def put(self, value: Any) -> Any:
        """The value itself."""
        return value

    def stop(self, future: Future[Any]) -> bool:
        """Have it not begin; a thread can not be stopped."""
        return future.cancel()

    def loss(self, error: BaseException) -> Loss | None:
        """Threads are not lost."""
        return None

    def close(self, *, kill: bool) -> None:
        """Have the threads end; wait for them, unless `kill`."""
        self._is_closed = True
        for _ in self._threads:
            self._calls.put(None)
        if not kill:
            for thread in self._threads:
                thread.join()


def _call(future: Future[Any], run: Callable[..., Any], args: tuple[Any, ...]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = run(*args)
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)
