"""The pools and executors that things go wrong in: the few calls that are needed for it.

A subject's package is imported when it is opened, in the cell's process only.
"""

from __future__ import annotations

import multiprocessing
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from typing import Any, ClassVar

from benchmarks.contract import NotOffered
from benchmarks.incidents.contract import Overdue
from benchmarks.incidents.stage import PATIENCE

Task = Callable[..., None]


class Subject(ABC):
    """A pool or executor with its workers.

    Args:
        workers: how many it has.
        method: how they are started.
    """

    title: ClassVar[str]
    distribution: ClassVar[str | None] = None
    methods: ClassVar[tuple[str, ...]] = ("fork",)

    breaks: ClassVar[bool] = False
    """Whether it is of no use after a worker's death: its user then makes a new one."""

    def __init__(self, workers: int, method: str) -> None:
        self.workers = workers
        self.method = method
        self.inner = self.open()

    @abstractmethod
    def open(self) -> Any:
        """The pool or executor itself."""

    @abstractmethod
    def submit(self, function: Task, *arguments: Any) -> Any:
        """Have it run; what stands for the result."""

    def limited(self, timeout: float, function: Task, *arguments: Any) -> Any:
        """Have it run for so many seconds at most."""
        raise NotOffered

    @abstractmethod
    def failure(self, task: Any) -> BaseException | None:
        """Wait for the task's end: what it raised.

        Raises:
            Overdue: it is not known in a time in which anybody would have given up.
        """

    def cancel(self, task: Any) -> bool:
        """Cancel it though it runs; whether that could be done."""
        raise NotOffered

    def renew(self) -> None:
        """After a death: make a new one if this one is of no use any more."""
        if self.breaks:
            self.inner.shutdown(wait=False)
            self.inner = self.open()

    @abstractmethod
    def close(self) -> None:
        """End the workers."""


class PoolSubject(Subject):
    """Has the methods of ``multiprocessing.Pool``."""

    def submit(self, function: Task, *arguments: Any) -> Any:
        return self.inner.apply_async(function, arguments)

    def failure(self, task: Any) -> BaseException | None:
        task.wait(PATIENCE)
        if not task.ready():
            raise Overdue(f"no result and no error within {PATIENCE:g} s")
        try:
            task.get()
        except Exception as error:
            return error
        return None

    def close(self) -> None:
        self.inner.close()
        self.inner.join()


class ExecutorSubject(Subject):
    """Has the methods of ``concurrent.futures.Executor``."""

    def submit(self, function: Task, *arguments: Any) -> Any:
        return self.inner.submit(function, *arguments)

    def failure(self, task: Any) -> BaseException | None:
        try:
            error: BaseException | None = task.exception(PATIENCE)
        except TimeoutError:
            raise Overdue(f"no result and no error within {PATIENCE:g} s") from None
        return error

    def cancel(self, task: Any) -> bool:
        cancelled: bool = task.cancel()
        return cancelled

    def close(self) -> None:
        self.inner.shutdown()


class OurPool(PoolSubject):
    title = "procession.Pool"
    distribution = "procession"
    methods = ("fork", "forkserver")

    def open(self) -> Any:
        return import_module("procession").get_context(self.method).Pool(self.workers)

    def limited(self, timeout: float, function: Task, *arguments: Any) -> Any:
        return self.inner.options(timeout=timeout).apply_async(function, arguments)

    def cancel(self, task: Any) -> bool:
        cancelled: bool = task.cancel()
        return cancelled


class OurExecutor(ExecutorSubject):
    title = "procession.Executor"
    distribution = "procession"
    methods = ("fork", "forkserver")

    def open(self) -> Any:
        context = import_module("procession").get_context(self.method)
        return import_module("procession.futures").Executor(self.workers, context)

    def limited(self, timeout: float, function: Task, *arguments: Any) -> Any:
        return self.inner.options(timeout=timeout).submit(function, *arguments)


class StdlibPool(PoolSubject):
    title = "multiprocessing.Pool"
    methods = ("fork", "forkserver")

    def open(self) -> Any:
        return multiprocessing.get_context(self.method).Pool(self.workers)


class StdlibExecutor(ExecutorSubject):
    title = "ProcessPoolExecutor"
    methods = ("fork", "forkserver")
    breaks = True

    def open(self) -> Any:
        return ProcessPoolExecutor(self.workers, multiprocessing.get_context(self.method))


class Loky(ExecutorSubject):
    title = "loky.ProcessPoolExecutor"
    distribution = "loky"
    methods = ("loky",)
    breaks = True

    def open(self) -> Any:
        return import_module("loky").ProcessPoolExecutor(self.workers)


class Pebble(ExecutorSubject):
    title = "pebble.ProcessPool"
    distribution = "pebble"
    methods = ("fork", "forkserver")

    def open(self) -> Any:
        context = multiprocessing.get_context(self.method)
        return import_module("pebble").ProcessPool(self.workers, context=context)

    def submit(self, function: Task, *arguments: Any) -> Any:
        return self.inner.schedule(function, arguments)

    def limited(self, timeout: float, function: Task, *arguments: Any) -> Any:
        return self.inner.schedule(function, arguments, timeout=timeout)

    def close(self) -> None:
        self.inner.close()
        self.inner.join()


class Billiard(PoolSubject):
    title = "billiard.Pool"
    distribution = "billiard"

    def open(self) -> Any:
        return import_module("billiard.pool").Pool(self.workers, enable_timeouts=True)

    def limited(self, timeout: float, function: Task, *arguments: Any) -> Any:
        return self.inner.apply_async(function, arguments, timeout=timeout)


SUBJECTS: Mapping[str, type[Subject]] = {
    "procession": OurPool,
    "procession_executor": OurExecutor,
    "stdlib": StdlibPool,
    "process_pool_executor": StdlibExecutor,
    "loky": Loky,
    "pebble": Pebble,
    "billiard": Billiard,
}
"""By the names on the command line, ourselves first."""

OUR_OWN = frozenset({"procession", "procession_executor"})
