"""The standard library's multiprocessing beside ours: lent by it, and kept in step with us.

What procession does not have is the standard library's (``borrow``). It is loaded at the first use
of such a name, never before; and once it is loaded, by us or by the program, it agrees with us:

- It knows the same current and parent process, so the two have one authentication key, and names
  in log records and of semaphores are right. A child of ours that loads it late learns it then.
- What it raises is caught by the names of our errors.
- The hooks that it runs in *its* children run in ours, too: after the fork, and at the end (a
  queue's feeder thread is flushed there).
"""

from __future__ import annotations

import array
import copyreg
import itertools
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from procession import _core, errors
from procession._codec.objects import reducers

_PUBLIC = "multiprocessing"
# The second name is where `procession run` keeps the stdlib's package when ours has its place.
_PACKAGES = (_PUBLIC, "procession._stdlib")
_FOLDER = os.path.join(os.path.dirname(os.__file__), _PUBLIC)
_MAIN = "MainProcess"
_CONNECTIONS = {(f"{package}.connection", "Connection") for package in _PACKAGES}

_current: Any = None  # our current and parent process, as adopt() or meet() was told
_parent: Any = None


def _load(submodule: str) -> ModuleType:
    # An import statement with a name that varies. Not import_module: whoever replaces
    # builtins.__import__ is to see who asks.
    name = f"{_PUBLIC}.{submodule}" if submodule else _PUBLIC
    return __import__(name, globals(), locals(), ("__name__",), 0)


_lender: Callable[[str], ModuleType] = _load
reducers.borrow = lambda: borrow("reduction")
LONGEST_IMPORT = 5.0
"""Seconds that a fork waits for another thread that loads what is borrowed."""

_borrowing = threading.RLock()  # held while something is loaded
_lent: list[ModuleType] = []  # the package, once something was borrowed


def borrow(submodule: str) -> ModuleType:
    """A module of the standard library's package ("queues"; "" is the package itself)."""
    with _borrowing:
        if not _lent:
            _lent.append(_lender(""))
            _use_reducers()
        return _lender(submodule)


def borrow_from(lender: Callable[[str], ModuleType]) -> None:
    """Have another function load what is borrowed (`procession run` keeps it elsewhere)."""
    global _lender
    _lender = lender
    _lent.clear()


def borrowed(door: str, submodule: str, name: str) -> Any:
    """A name of the standard library's submodule, for a module of ours that has it from there.

    Raises AttributeError, in the words of the module `door`, if there is no such name.
    """
    if not name.startswith("__"):
        try:
            return getattr(borrow(submodule), name)
        except AttributeError:
            pass
    raise AttributeError(f"module {door!r} has no attribute {name!r}")


_VIEWS: tuple[type, ...] = (type({}.keys()), type({}.values()), type({}.items()))


def _use_reducers() -> None:
    """Have arguments and results pickled as is registered with the package's pickler."""
    for reduction in loaded("reduction"):
        reducers.use(reduction.ForkingPickler._extra_reducers, _is_as_plain)
        return


def _is_as_plain(kind: type) -> bool:
    if (kind.__module__, kind.__name__) in _CONNECTIONS:
        # What plain pickle makes of it is of no use to anybody: have it make what is.
        copyreg.pickle(kind, reducers.table[kind])
        return True
    if kind is array.array:
        # As pickle has a way of its own, the library's managers need not have registered theirs.
        # Taken out, it is noticed if a program registers one.
        reduce = reducers.table.get(kind)
        home = str(getattr(reduce, "__module__", ""))
        if getattr(reduce, "__name__", "") == "reduce_array" and home.endswith(".managers"):
            reducers.table.pop(kind, None)
        return False
    # It refuses sockets, views of dicts, and keys unless a child is being started.
    return (
        kind in _VIEWS
        or (kind.__module__, kind.__name__) == ("socket", "socket")
        or kind.__name__ == "AuthenticationString"
    )


def loaded(submodule: str = "util") -> Iterator[ModuleType]:
    """The stdlib's modules of this name that are loaded (usually none or one)."""
    seen: set[int] = set()
    found = [sys.modules.get(f"{package}.{submodule}") for package in _PACKAGES]
    # What lends to us knows its own, also where another package has taken its public name.
    found += [getattr(package, submodule, None) for package in _lent]
    for module in found:
        if module is None or id(module) in seen:
            continue
        file = getattr(module, "__file__", None)
        if file is not None and os.path.dirname(file) == _FOLDER:
            seen.add(id(module))
            # Not one that a thread is only loading, or was, in the process that forked this one.
            if not getattr(module.__spec__, "_initializing", False):
                yield module


# Agreement


def meet(current: object, parent: object) -> None:
    """In a process that none of ours has started: agree, now or when the stdlib is loaded.

    If it is loaded already, its authentication key is taken over: something may rely on it.
    Nothing happens where adopt() was called.
    """
    global _current, _parent
    if _current is not None:
        return
    _current, _parent = current, parent
    for process in loaded("process"):
        theirs = process._current_process
        key = theirs.authkey
        # In a child of the stdlib's own, it knows better than we do who that is. One that it has
        # spawned imports the program, and us, before it has its parent.
        is_child = process._parent_process is not None or hasattr(theirs, "_inheriting")
        _agree(process, on_processes=not is_child)
        _current._config["authkey"] = key
        return
    _await()


def adopt(current: object, parent: object) -> None:
    """In a child of ours: make the stdlib's current_process() and parent_process() be ours.

    Names in log records, authentication keys and names of semaphores come from there.
    """
    global _current, _parent
    _current, _parent = current, parent
    _name_in_records()
    found = False
    for process in loaded("process"):
        found = True
        _agree(process)
    if not found:
        _await()


def _agree(process: Any, *, on_processes: bool = True) -> None:
    if on_processes:
        process._current_process, process._parent_process = _current, _parent
    package = process.__spec__.name.rpartition(".")[0]
    if package != _PUBLIC:
        _use_reducers()
        return  # `procession run` adjusts the rest of its own
    key = _current._config["authkey"]
    if type(key) is not process.AuthenticationString:
        # A key is pickled for a child that is being started only, and knows by whom from its own
        # package. With one of theirs, whatever starts processes by the stdlib works as ever.
        _current._config["authkey"] = process.AuthenticationString(key)
        reduction: Any = _beside(process, "reduction")
        for kind in (type(key), process.AuthenticationString):
            reduction.ForkingPickler.register(kind, partial(_reduce_key, process))
    _use_reducers()
    # From now on an `except` with one of our names catches theirs, which stay what they were. Not
    # TimeoutError, which is an OSError with us: it is laid out otherwise (see _Watch).
    context: Any = _beside(process, "context")
    context.ProcessError.__bases__ = (errors.ProcessError,)
    for name in ("BufferTooShort", "AuthenticationError"):
        getattr(context, name).__bases__ = (context.ProcessError, getattr(errors, name))


def _beside(module: ModuleType, name: str) -> ModuleType:
    """Another module of the same package, which has been loaded with it."""
    package = getattr(module.__spec__, "parent", None)
    return next(m for m in loaded(name) if getattr(m.__spec__, "parent", None) == package)


def _reduce_key(process: Any, key: bytes) -> Any:
    process.AuthenticationString(key).__reduce__()  # raises, unless a child is being started
    return _make_key, (bytes(key),)


def _make_key(key: bytes) -> bytes:
    """A key of the standard library's own kind, in whichever process unpickles it."""
    made: bytes = borrow("process").AuthenticationString(key)
    return made


def _await() -> None:
    if not any(isinstance(finder, _Watch) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Watch())


class _Watch:
    """A finder that finds nothing of its own: it sees the stdlib's package being loaded."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _PUBLIC:
            return None
        for finder in [*sys.meta_path]:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None and spec.origin == os.path.join(_FOLDER, "__init__.py"):
                    self._follow(spec.loader)
                return spec
        return None

    def _follow(self, loader: Any) -> None:
        execute = loader.exec_module

        def execute_and_agree(module: ModuleType) -> None:
            del loader.exec_module
            execute(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            for process in loaded("process"):
                _agree(process)
            # Nobody has taken the name from there yet, so it can be replaced.
            context: Any = sys.modules[f"{_PUBLIC}.context"]
            places: tuple[Any, ...] = (module, context, context.BaseContext)
            for place in places:
                place.TimeoutError = errors.TimeoutError

        loader.exec_module = execute_and_agree


# Log records


class _Named:
    """Makes log records as another factory does, with the name of a process of ours.

    Those made by `logging` ask the stdlib's multiprocessing, and say MainProcess where that is not
    loaded.
    """

    def __init__(self, make: Callable[..., logging.LogRecord]) -> None:
        self._make = make

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = self._make(*args, **kwargs)
        if record.processName == _MAIN:
            record.processName = _current.name
        return record


def _name_in_records() -> None:
    make = logging.getLogRecordFactory()
    if not isinstance(make, _Named):
        logging.setLogRecordFactory(_Named(make))


# In our children


def after_fork() -> None:
    """In a fresh child: forget what belonged to the parent, run the after-fork hooks."""
    for util in loaded():
        util._finalizer_registry.clear()
        util.process._children = set()
        util.process._process_counter = itertools.count(1)
        util._run_after_forkers()


def run_exit_function() -> None:
    """At the end of a child: finalizers, queue feeders, the stdlib's own child processes."""
    for util in loaded():
        util._exit_function()


def say_smaller(budget: int) -> None:
    """Tell the log, if anybody reads it, that the family arena is smaller than usual.

    Args:
        budget: bytes that there may be in use, and so the most that fits at once.
    """
    logger = logging.getLogger(_PUBLIC)
    if logger.hasHandlers():
        logger.warning(
            "shared memory has room for %d MiB, as the system gives fewer addresses than it might "
            "(see ulimit -v); larger messages are refused; three quarters are for what is sent",
            budget >> 20,
        )


def state() -> Mapping[str, Any]:
    """What a child that is no copy of this process must know, while it is packed; see restore()."""
    known: dict[str, Any] = {}
    for util in loaded():
        if util._logger is not None:
            known["log_level"] = util._logger.getEffectiveLevel()
            known["log_to_stderr"] = util._log_to_stderr
    for resource_tracker in loaded("resource_tracker"):
        # One that runs: what the child makes known to it outlives the child.
        tracker = resource_tracker._resource_tracker
        if tracker._fd is not None:
            known["tracker"] = borrow("reduction").DupFd(tracker._fd)
    return known


def restore(known: Mapping[str, Any]) -> None:
    """In such a child: what state() told of its parent."""
    if "log_level" in known:
        util: Any = borrow("util")
        if known["log_to_stderr"]:
            util.log_to_stderr()
        util.get_logger().setLevel(known["log_level"])
    if "tracker" in known:
        tracker: Any = borrow("resource_tracker")
        tracker._resource_tracker._fd = known["tracker"].detach()


def _before_fork() -> None:
    # A copy made while another thread imports would have half a module for ever. But whoever
    # imports for longer than that may wait for the one who forks.
    _held.append(_borrowing.acquire(timeout=LONGEST_IMPORT))


def _after_fork_in_parent() -> None:
    if _held.pop():
        _borrowing.release()


def _after_fork_in_child() -> None:
    global _borrowing
    _borrowing = threading.RLock()
    _held.clear()


_held: list[bool] = []
os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
_core.when_smaller(say_smaller)
