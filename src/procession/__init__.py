"""Python's multiprocessing on one crash-safe shared-memory core.

``import procession as mp`` gives the names of the standard library's package; what procession does
not have yet is the standard library's own. A name is loaded at its first use, so importing the
package costs next to nothing.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if sys.platform != "linux":
    raise ImportError(
        f"procession runs on Linux only so far, not on {sys.platform}: its core needs futexes and "
        "memory files. Use the standard library's multiprocessing here."
    )

if TYPE_CHECKING:
    from procession._codec.sharing import share as share
    from procession._compare.comparing import compare as compare
    from procession._observe.memory import MemorySnapshot as MemorySnapshot
    from procession._observe.memory import memory as memory
    from procession._worker.state import worker_id as worker_id
    from procession._worker.state import worker_state as worker_state
    from procession.context import Array as Array
    from procession.context import Barrier as Barrier
    from procession.context import BaseContext as BaseContext
    from procession.context import BoundedSemaphore as BoundedSemaphore
    from procession.context import Condition as Condition
    from procession.context import DefaultContext as DefaultContext
    from procession.context import Event as Event
    from procession.context import ForkContext as ForkContext
    from procession.context import ForkServerContext as ForkServerContext
    from procession.context import JoinableQueue as JoinableQueue
    from procession.context import Lock as Lock
    from procession.context import Pipe as Pipe
    from procession.context import Pool as Pool
    from procession.context import Process as Process
    from procession.context import Queue as Queue
    from procession.context import RawArray as RawArray
    from procession.context import RawValue as RawValue
    from procession.context import RLock as RLock
    from procession.context import Semaphore as Semaphore
    from procession.context import SimpleQueue as SimpleQueue
    from procession.context import SpawnContext as SpawnContext
    from procession.context import Value as Value
    from procession.context import active_children as active_children
    from procession.context import cpu_count as cpu_count
    from procession.context import current_process as current_process
    from procession.context import freeze_support as freeze_support
    from procession.context import get_all_start_methods as get_all_start_methods
    from procession.context import get_context as get_context
    from procession.context import get_start_method as get_start_method
    from procession.context import parent_process as parent_process
    from procession.context import set_executable as set_executable
    from procession.context import set_forkserver_preload as set_forkserver_preload
    from procession.context import set_start_method as set_start_method
    from procession.errors import AuthenticationError as AuthenticationError
    from procession.errors import BufferTooShort as BufferTooShort
    from procession.errors import ProcessError as ProcessError
    from procession.errors import TimeoutError as TimeoutError
    from procession.errors.backend import EngineLost as EngineLost
    from procession.errors.backend import NotSupported as NotSupported
    from procession.errors.journal import JournalError as JournalError
    from procession.errors.memory import ArenaFull as ArenaFull
    from procession.errors.pool import InitializerFailed as InitializerFailed
    from procession.errors.pool import MaybeEncodingError as MaybeEncodingError
    from procession.errors.pool import PoolTerminated as PoolTerminated
    from procession.errors.pool import RemoteError as RemoteError
    from procession.errors.pool import TaskTimeout as TaskTimeout
    from procession.errors.pool import WorkerDied as WorkerDied
    from procession.errors.sync import OwnerDied as OwnerDied
    from procession.errors.sync import ShutDown as ShutDown
    from procession.futures import Executor as Executor

__version__ = "0.1.0"

_HOMES = {
    "procession.context": (
        "Array",
        "Barrier",
        "BaseContext",
        "BoundedSemaphore",
        "Condition",
        "DefaultContext",
        "Event",
        "ForkContext",
        "ForkServerContext",
        "JoinableQueue",
        "Lock",
        "Pipe",
        "Pool",
        "Process",
        "Queue",
        "RLock",
        "RawArray",
        "RawValue",
        "Semaphore",
        "SimpleQueue",
        "SpawnContext",
        "Value",
        "active_children",
        "cpu_count",
        "current_process",
        "freeze_support",
        "get_all_start_methods",
        "get_context",
        "get_start_method",
        "parent_process",
        "set_executable",
        "set_forkserver_preload",
        "set_start_method",
    ),
    "procession.errors": (
        "AuthenticationError",
        "BufferTooShort",
        "ProcessError",
        "TimeoutError",
    ),
    "procession.errors.backend": (
        "EngineLost",
        "NotSupported",
    ),
    "procession.errors.journal": ("JournalError",),
    "procession.errors.memory": ("ArenaFull",),
    "procession.errors.pool": (
        "InitializerFailed",
        "MaybeEncodingError",
        "PoolTerminated",
        "RemoteError",
        "TaskTimeout",
        "WorkerDied",
    ),
    "procession._codec.sharing": ("share",),
    "procession._compare.comparing": ("compare",),
    "procession._observe.memory": (
        "MemorySnapshot",
        "memory",
    ),
    "procession._worker.state": (
        "worker_id",
        "worker_state",
    ),
    "procession.errors.sync": (
        "OwnerDied",
        "ShutDown",
    ),
    "procession.futures": ("Executor",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

# What the default context has from the standard library.
_BORROWED = {
    "Manager",
    "allow_connection_pickling",
    "get_logger",
    "log_to_stderr",
    "reducer",
}

# Attributes of the standard library's package once somebody has loaded them, some from the start.
_SUBMODULES = {
    "backends",
    "connection",
    "context",
    "dummy",
    "errors",
    "futures",
    "heap",
    "joblib",
    "managers",
    "pool",
    "process",
    "queues",
    "reduction",
    "resource_sharer",
    "resource_tracker",
    "shared_memory",
    "sharedctypes",
    "synchronize",
    "util",
}

__all__ = sorted({*_HOME_OF, *_BORROWED})  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name in _BORROWED:
        owner: Any = import_module("procession.context")._default_context
    elif name in _HOME_OF:
        owner = import_module(_HOME_OF[name])
    elif name in _SUBMODULES:
        return import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(owner, name)
    return value


def _joblib_backend(**words: Any) -> Any:
    return import_module("procession.joblib").ProcessionBackend(**words)


# Who has joblib already can name our backend at once; what that is made of is loaded at its first
# use. In the other order `import procession.joblib` is needed: nobody watches what is imported.
if (_joblib := sys.modules.get("joblib")) and hasattr(_joblib, "register_parallel_backend"):
    _joblib.register_parallel_backend("procession", _joblib_backend)
del _joblib


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__} - {"TYPE_CHECKING", "Any", "import_module"})
