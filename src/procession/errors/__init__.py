"""Every error that Procession raises on its own account.

This module holds those of processes and connections, with the standard library's names;
:mod:`procession.errors.pool` adds the errors of pools (kept apart because their base
class, ``concurrent.futures.process.BrokenProcessPool``, is slow to import).

::

    ProcessError
    ├── BufferTooShort
    ├── AuthenticationError
    ├── TimeoutError              also a builtin TimeoutError
    └── OwnerDied                 in errors.sync: a process died with a lock or the like in hand
    ArenaFull                     MemoryError, in errors.memory: no room in the shared arena
    JournalError                  in errors.journal: a journal can not be used
    RemoteError                   what a task raised and could not be sent as it is
    WorkerDied                    BrokenProcessPool: the task's worker ended under it
    TaskTimeout                   a builtin TimeoutError: a task ran for too long, and was stopped
    InitializerFailed             BrokenProcessPool: no worker can be made ready
    PoolTerminated                BrokenProcessPool: the pool was terminated first
    EngineLost                    BrokenProcessPool, in errors.backend: its engine is gone
    NotSupported                  ValueError, in errors.backend: the engine can not do that
    MaybeEncodingError            a result that can not be pickled
"""

from __future__ import annotations

import builtins


class ProcessError(Exception):
    """Base of the errors about processes (as ``multiprocessing.ProcessError``)."""

    __slots__ = ()  # as it is laid out like Exception, the stdlib's can be derived from it


class BufferTooShort(ProcessError):
    """A message is longer than the buffer it is to be received in."""

    __slots__ = ()


class AuthenticationError(ProcessError):
    """The other side of a connection does not know the key."""

    __slots__ = ()


class TimeoutError(ProcessError, builtins.TimeoutError):
    """A blocking call reached the caller's timeout."""


for _error in (ProcessError, BufferTooShort, AuthenticationError, TimeoutError):
    _error.__module__ = "procession"  # the name to catch it by, in tracebacks and pickles

__all__ = ["AuthenticationError", "BufferTooShort", "ProcessError", "TimeoutError"]
