"""Contexts: the package's functions and classes, bound to one start method.

``get_context("fork")`` gives an object with the names of the package itself, whose processes all
start that way. The package's own functions belong to the default context, whose start method can
be chosen once.

What contexts lack is the standard library's, from its own context of the same start method (see
``_launch.stdlib``).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, SupportsIndex

from procession import errors, process
from procession._launch import methods, settings, stdlib
from procession._launch.cpus import cpu_count as usable_cpus

if TYPE_CHECKING:
    from procession import connection, pool, queues, synchronize

__all__ = [
    "BaseContext",
    "DefaultContext",
    "ForkContext",
    "ForkProcess",
    "ForkServerContext",
    "ForkServerProcess",
    "Process",
    "SpawnContext",
    "SpawnProcess",
    "get_context",
]

Process = process.Process

_notice: Callable[[BaseContext, str], object] | None = None  # told what is borrowed


class ForkProcess(process.BaseProcess):
    """A process started by fork, whatever start method is in force."""

    _start_method = "fork"

    @staticmethod
    def _Popen(process_obj: process.BaseProcess) -> methods.Child:
        return methods.launch(process_obj, "fork")


class SpawnProcess(process.BaseProcess):
    """A process started by spawn, whatever start method is in force."""

    _start_method = "spawn"

    @staticmethod
    def _Popen(process_obj: process.BaseProcess) -> methods.Child:
        return methods.launch(process_obj, "spawn")


class ForkServerProcess(process.BaseProcess):
    """A process started by forkserver, whatever start method is in force."""

    _start_method = "forkserver"

    @staticmethod
    def _Popen(process_obj: process.BaseProcess) -> methods.Child:
        return methods.launch(process_obj, "forkserver")


class BaseContext:
    """What all contexts have."""

    Process: ClassVar[type[process.BaseProcess]]
    _name: ClassVar[str]

    ProcessError = errors.ProcessError
    BufferTooShort = errors.BufferTooShort
    TimeoutError = errors.TimeoutError
    AuthenticationError = errors.AuthenticationError

    current_process = staticmethod(process.current_process)
    parent_process = staticmethod(process.parent_process)
    active_children = staticmethod(process.active_children)

    def cpu_count(self) -> int:
        """Number of CPUs this process may use: affinity and control group quotas considered."""
        return usable_cpus()

    def Pool(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        **words: Any,
    ) -> pool.Pool:
        """A pool of worker processes; see ``procession.pool.Pool``."""
        from procession.pool import Pool  # lazy: the pool door is heavy

        return Pool(
            processes,
            initializer,
            initargs,
            maxtasksperchild,
            context=self.get_context(),
            **words,
        )

    def Lock(self) -> synchronize.Lock:
        """A lock for processes; see ``procession.synchronize.Lock``."""
        from procession.synchronize import Lock

        return Lock(ctx=self.get_context())

    def RLock(self) -> synchronize.RLock:
        """A lock that its owner may take again; see ``procession.synchronize.RLock``."""
        from procession.synchronize import RLock

        return RLock(ctx=self.get_context())

    def Condition(
        self, lock: synchronize.Lock | synchronize.RLock | None = None
    ) -> synchronize.Condition:
        """A condition, with a lock of its own if none is given; see ``synchronize.Condition``."""
        from procession.synchronize import Condition

        return Condition(lock, ctx=self.get_context())

    def Semaphore(self, value: int = 1) -> synchronize.Semaphore:
        """`value` permits; see ``procession.synchronize.Semaphore``."""
        from procession.synchronize import Semaphore

        return Semaphore(value, ctx=self.get_context())

    def BoundedSemaphore(self, value: int = 1) -> synchronize.BoundedSemaphore:
        """`value` permits, and never more; see ``procession.synchronize.BoundedSemaphore``."""
        from procession.synchronize import BoundedSemaphore

        return BoundedSemaphore(value, ctx=self.get_context())

    def Event(self) -> synchronize.Event:
        """A flag to wait for; see ``procession.synchronize.Event``."""
        from procession.synchronize import Event

        return Event(ctx=self.get_context())

    def Barrier(
        self,
        parties: int,
        action: Callable[[], object] | None = None,
        timeout: float | None = None,
    ) -> synchronize.Barrier:
        """A barrier for `parties` threads or processes; see ``procession.synchronize.Barrier``."""
        from procession.synchronize import Barrier

        return Barrier(parties, action, timeout, ctx=self.get_context())

    def Queue(self, maxsize: int = 0) -> queues.Queue:
        """A queue for any number of processes; see ``procession.queues.Queue``."""
        from procession.queues import Queue

        return Queue(maxsize, ctx=self.get_context())

    def JoinableQueue(self, maxsize: int = 0) -> queues.JoinableQueue:
        """A queue that can be waited for; see ``procession.queues.JoinableQueue``."""
        from procession.queues import JoinableQueue

        return JoinableQueue(maxsize, ctx=self.get_context())

    def SimpleQueue(self) -> queues.SimpleQueue:
        """A queue without limits and timeouts; see ``procession.queues.SimpleQueue``."""
        from procession.queues import SimpleQueue

        return SimpleQueue(ctx=self.get_context())

    def Pipe(self, duplex: bool = True) -> tuple[connection.Connection, connection.Connection]:
        """Two ends of a connection; see ``procession.connection.Pipe``."""
        from procession.connection import Pipe

        return Pipe(duplex)

    def RawValue(self, typecode_or_type: Any, *args: Any) -> Any:
        """A ctypes object in shared memory; see ``procession.sharedctypes.RawValue``."""
        from procession.sharedctypes import RawValue

        return RawValue(typecode_or_type, *args)

    def RawArray(self, typecode_or_type: Any, size_or_initializer: Any) -> Any:
        """A ctypes array in shared memory; see ``procession.sharedctypes.RawArray``."""
        from procession.sharedctypes import RawArray

        return RawArray(typecode_or_type, size_or_initializer)

    def Value(self, typecode_or_type: Any, *args: Any, lock: Any = True) -> Any:
        """A ctypes object in shared memory, with a lock; see ``procession.sharedctypes.Value``."""
        from procession.sharedctypes import Value

        return Value(typecode_or_type, *args, lock=lock, ctx=self.get_context())

    def Array(self, typecode_or_type: Any, size_or_initializer: Any, *, lock: Any = True) -> Any:
        """A ctypes array in shared memory, with a lock; see ``procession.sharedctypes.Array``."""
        from procession.sharedctypes import Array

        return Array(typecode_or_type, size_or_initializer, lock=lock, ctx=self.get_context())

    def Manager(self) -> Any:
        """A manager of the standard library's that runs, in a process of this context's."""
        from procession.pool import Pool  # lazy: the pool door is heavy

        manager = stdlib.borrow("managers").SyncManager(ctx=self.get_context())
        # Its pools are ours: one that loses a worker loses one task.
        registry = dict(manager._registry)
        registry["Pool"] = (Pool, *registry["Pool"][1:])
        made, _, *rest = registry["AsyncResult"]
        registry["AsyncResult"] = (made, ("get", "ready", "successful", "wait"), *rest)
        manager._registry = registry
        manager.start()
        return manager

    def freeze_support(self) -> None:
        """Nothing to do here: it matters on Windows only."""

    def get_context(self, method: str | None = None) -> BaseContext:
        """The context of a start method; without one, this context (never the default one).

        Raises ValueError for a start method that does not exist.
        """
        return self if method is None else _concrete(method)

    def get_start_method(self, allow_none: bool = False) -> str | None:
        """Name of the start method; with `allow_none`, None if none is in force yet."""
        return self._name

    def set_start_method(self, method: str | None, force: bool = False) -> None:
        """Choose the start method; only the default context has that choice."""
        raise ValueError("cannot set start method of concrete context")

    def set_executable(self, executable: str | bytes | os.PathLike[Any]) -> None:
        """Choose the interpreter that spawned processes run in (else: this process's own).

        Raises TypeError for what is no path.
        """
        settings.set_executable(executable)
        stdlib.borrow("spawn").set_executable(executable)

    def set_forkserver_preload(self, module_names: list[str]) -> None:
        """Choose what the fork server imports for all, before it is started.

        What can not be imported there is left out. Raises TypeError for what is no list of strings.
        """
        settings.set_preload(module_names)
        stdlib.borrow("forkserver").set_forkserver_preload(module_names)

    @property
    def reducer(self) -> Any:
        """The standard library's module by which its objects travel to spawned processes."""
        return stdlib.borrow("context").reduction

    @reducer.setter
    def reducer(self, reduction: Any) -> None:
        theirs: Any = stdlib.borrow("context")
        theirs.reduction = reduction

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_"):
            try:
                return self._borrow(name)
            except AttributeError:
                pass
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __dir__(self) -> list[str]:
        lent = dir(_lender_of(self))
        return sorted({*super().__dir__(), *(name for name in lent if not name.startswith("_"))})

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        """By name: there is one context of each start method in a process."""
        name = getattr(self, "_name", None)
        if _contexts.get(name) is self:
            return get_context, (name,)
        return super().__reduce_ex__(protocol)

    def _borrow(self, name: str) -> Any:
        value = getattr(_lender_of(self), name)
        if _notice is not None:
            _notice(self, name)
        return value


class ForkContext(BaseContext):
    """Processes start by fork: copies of the running process, ready at once."""

    _name = "fork"
    Process = ForkProcess


class SpawnContext(BaseContext):
    """Processes start by spawn: each in a fresh interpreter, which imports what it needs."""

    _name = "spawn"
    Process = SpawnProcess


class ForkServerContext(BaseContext):
    """Processes start by forkserver: copies of a small process that does nothing else."""

    _name = "forkserver"
    Process = ForkServerProcess


class DefaultContext(BaseContext):
    """The context whose start method is chosen by the program, at most once."""

    Process = Process

    def get_context(self, method: str | None = None) -> BaseContext:
        """The context of `method`, or of the start method in force.

        Raises ValueError for a start method that does not exist.
        """
        return _concrete(methods.settle() if method is None else method)

    def set_start_method(self, method: str | None, force: bool = False) -> None:
        """Choose the start method, before the first use of one.

        Raises RuntimeError if one is in force already, unless `force`; ValueError if it does not
        exist. With `force`, None goes back to no choice.
        """
        if methods.chosen() is not None and not force:
            raise RuntimeError("context has already been set")
        if method is None and force:
            methods.choose(None)
            return
        methods.choose(methods.settle() if method is None else _concrete(method)._name)

    def get_start_method(self, allow_none: bool = False) -> str | None:
        """Name of the start method in force; with `allow_none`, None if none is yet."""
        return methods.chosen() if allow_none else methods.settle()

    def get_all_start_methods(self) -> list[str]:
        """Names of the start methods there are, the default one first."""
        return methods.available()

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        """By name, if it is the package's own."""
        return "_default_context" if self is _default_context else super().__reduce_ex__(protocol)


def _concrete(method: str) -> BaseContext:
    try:
        return _contexts[method]
    except KeyError:
        raise ValueError(f"cannot find context for {method!r}") from None


def _lender_of(borrower: BaseContext) -> Any:
    """The standard library's context of the same start method."""
    theirs = stdlib.borrow("context")
    name = getattr(borrower, "_name", None)
    return theirs._concrete_contexts.get(name) or _default_lender(theirs)


@cache
def _default_lender(theirs: Any) -> Any:
    """For contexts without a start method of their own: it is looked up at each call."""

    def get_context(self: Any, method: str | None = None) -> Any:
        return theirs._concrete_contexts[method or methods.settle()]

    return type("DefaultContext", (theirs.BaseContext,), {"get_context": get_context})()


_contexts: dict[str | None, BaseContext] = {
    "fork": ForkContext(),
    "spawn": SpawnContext(),
    "forkserver": ForkServerContext(),
}
_default_context = DefaultContext()
get_context = _default_context.get_context
Array = _default_context.Array
Barrier = _default_context.Barrier
BoundedSemaphore = _default_context.BoundedSemaphore
Condition = _default_context.Condition
Event = _default_context.Event
JoinableQueue = _default_context.JoinableQueue
Lock = _default_context.Lock
Pipe = _default_context.Pipe
Pool = _default_context.Pool
Queue = _default_context.Queue
RLock = _default_context.RLock
RawArray = _default_context.RawArray
RawValue = _default_context.RawValue
Semaphore = _default_context.Semaphore
SimpleQueue = _default_context.SimpleQueue
Value = _default_context.Value
active_children = _default_context.active_children
cpu_count = _default_context.cpu_count
current_process = _default_context.current_process
freeze_support = _default_context.freeze_support
get_all_start_methods = _default_context.get_all_start_methods
get_start_method = _default_context.get_start_method
parent_process = _default_context.parent_process
set_executable = _default_context.set_executable
set_forkserver_preload = _default_context.set_forkserver_preload
set_start_method = _default_context.set_start_method
