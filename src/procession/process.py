"""``Process`` and what belongs to it: the current, the parent and the child processes.

The door to ``_launch``, with the standard library's names and behaviour. Process objects form a
tree as the processes do: each knows its parent, and its name tells its place (``Process-2:1`` is
the first child of the second child).
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import os
import signal
import time
import weakref
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, ClassVar

from procession import _core
from procession._launch import (
    arrival,
    exits,
    handle,
    lifeline,
    methods,
    parcel,
    preparation,
    stdlib,
)

__all__ = ["BaseProcess", "Process", "active_children", "current_process", "parent_process"]

DAEMON_GRACE = 5.0
"""Seconds that daemonic children get, after SIGTERM at their parent's end, before SIGKILL."""

_NO_KWARGS: Mapping[str, Any] = {}
NO_CHANGES: Mapping[str, str | None] = {}


class AuthenticationString(bytes):
    """A key by which the processes of a family know each other. It is pickled for children only."""

    def __reduce__(self) -> tuple[Any, ...]:
        if parcel.is_packing():
            return AuthenticationString, (bytes(self),)
        raise TypeError(
            "Pickling an AuthenticationString object is disallowed for security reasons"
        )


class BaseProcess:
    """Activity that runs in a process of its own, as ``threading.Thread`` does in a thread.

    `target` is called with `args` and `kwargs` in the child; or a subclass overrides run().
    `group` must be None. `name` says what reports call it. A daemonic process (`daemon`, inherited
    from the creating process unless given) is terminated when its parent ends, all others are
    joined then; whichever it is, it is killed at once should its parent die in any other way.
    """

    _start_method: ClassVar[str | None] = None
    # A pool's worker may have children, daemonic or not, and is ended with its parent.
    _is_worker: ClassVar[bool] = False
    _shares_sentinel = True
    _held_back: Collection[int] | None = None

    _popen: methods.Child | None
    _sentinel: int

    @staticmethod
    def _Popen(process_obj: BaseProcess) -> methods.Child:
        raise NotImplementedError

    def __init__(
        self,
        group: None = None,
        target: Callable[..., object] | None = None,
        name: str | None = None,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] = _NO_KWARGS,
        *,
        daemon: bool | None = None,
    ) -> None:
        _require(group is None, "group argument must be None for now")
        self._identity: tuple[int, ...] = (*_current_process._identity, next(_process_counter))
        self._config: dict[str, Any] = _current_process._config.copy()
        self._parent_pid: int | None = os.getpid()
        self._parent_name = _current_process.name
        self._popen = None
        self._closed = False
        self._target = target
        self._args = tuple(args)
        self._kwargs = dict(kwargs)
        self._name = name or f"{type(self).__name__}-{':'.join(map(str, self._identity))}"
        if daemon is not None:
            self.daemon = daemon
        _dangling.add(self)

    def run(self) -> None:
        """What the child does. Subclasses may override it; this one calls the target."""
        if self._target:
            self._target(*self._args, **self._kwargs)

    def start(self) -> None:
        """Start the child process; it runs run(). At most once.

        Raises AssertionError on a second start, in another process than the one that made this
        object, and in a daemonic process; OSError if the system has no room for a process.
        """
        self._check_closed()
        _require(self._popen is None, "cannot start a process twice")
        _require(
            self._parent_pid == os.getpid(),
            "can only start a process object created by current process",
        )
        _require(
            not _current_process.daemon or _current_process._is_worker,
            "daemonic processes are not allowed to have children",
        )
        preparation.check_start()
        _cleanup()
        child = self._Popen(self)
        if self._popen is None:  # a _Popen of the program's own does not know _adopt()
            self._adopt(child)

    def terminate(self) -> None:
        """Send SIGTERM. Descendants of the process end with it."""
        self._started("terminate").send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL. Descendants of the process end with it."""
        self._started("kill").send_signal(signal.SIGKILL)

    def interrupt(self) -> None:
        """Send SIGINT: a KeyboardInterrupt in the process's main thread, as Ctrl-C gives.

        Does nothing to a pool's worker, whose parent decides what an interrupt means.
        """
        self._started("interrupt").send_signal(signal.SIGINT)

    def join(self, timeout: float | None = None) -> None:
        """Wait until the process ends, at most `timeout` seconds (None: without limit).

        Whether it has ended tells `exitcode`. Raises AssertionError unless called, in the parent,
        on a started process.
        """
        self._check_closed()
        _require(self._parent_pid == os.getpid(), "can only join a child process")
        if self._popen is None:
            raise AssertionError("can only join a started process")
        if self._popen.wait(timeout) is not None:
            _children.discard(self)

    def is_alive(self) -> bool:
        """Whether the process runs: from start() on, until it has ended."""
        self._check_closed()
        if self is _current_process:
            return True
        _require(self._parent_pid == os.getpid(), "can only test a child process")
        if self._popen is None:
            return False
        if self._popen.poll() is None:
            return True
        _children.discard(self)
        return False

    def close(self) -> None:
        """Give the object's resources back. Most of its methods raise ValueError from then on.

        Raises ValueError while the process runs.
        """
        if self._popen is not None:
            if self._popen.poll() is None:
                raise ValueError(
                    "Cannot close a process while it is still running. "
                    "You should first call join() or terminate()."
                )
            self._popen.close()
            self._popen = None
            del self._sentinel
            _children.discard(self)
        self._closed = True

    @property
    def name(self) -> str:
        """Name for reports; need not be unique."""
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        _require(isinstance(name, str), "name must be a string")
        self._name = name

    @property
    def daemon(self) -> bool:
        """Whether the process is terminated, rather than joined, when its parent ends."""
        return bool(self._config.get("daemon", False))

    @daemon.setter
    def daemon(self, daemonic: bool) -> None:
        _require(self._popen is None, "process has already started")
        self._config["daemon"] = daemonic

    @property
    def authkey(self) -> bytes:
        """The family's key, inherited from the creating process; any bytes can be set."""
        key: bytes = self._config["authkey"]
        return key

    @authkey.setter
    def authkey(self, authkey: bytes) -> None:
        self._config["authkey"] = AuthenticationString(authkey)

    @property
    def exitcode(self) -> int | None:
        """None until the process has ended; then its exit code, or -N if signal N ended it."""
        self._check_closed()
        return None if self._popen is None else self._popen.poll()

    @property
    def ident(self) -> int | None:
        """Process id; None before start()."""
        self._check_closed()
        if self is _current_process:
            return os.getpid()
        return None if self._popen is None else self._popen.pid

    pid = ident

    @property
    def sentinel(self) -> int:
        """A descriptor that is readable once the process has ended (for select and the like).

        Raises ValueError before start().
        """
        self._check_closed()
        try:
            return self._sentinel
        except AttributeError:
            raise ValueError("process not started") from None

    def __repr__(self) -> str:
        exitcode = None
        if self is _current_process:
            status = "started"
        elif self._closed:
            status = "closed"
        elif self._parent_pid != os.getpid():
            status = "unknown"
        elif self._popen is None:
            status = "initial"
        else:
            exitcode = self._popen.poll()
            status = "started" if exitcode is None else "stopped"
        words = [type(self).__name__, f"name={self._name!r}"]
        if self._popen is not None:
            words.append(f"pid={self._popen.pid}")
        words += [f"parent={self._parent_pid}", status]
        if exitcode is not None:
            words.append(f"exitcode={_describe_exit(exitcode)}")
        if self.daemon:
            words.append("daemon")
        return f"<{' '.join(words)}>"

    def _check_closed(self) -> None:
        if self._closed:
            raise ValueError("process object is closed")

    def _started(self, action: str) -> methods.Child:
        self._check_closed()
        if self._popen is None:
            # AttributeError is what the stdlib raises here (by accident), and programs catch.
            raise AttributeError(f"cannot {action} a process that has not been started")
        return self._popen

    def _bootstrap(self) -> int:
        """The child's run: become this process, do its work. Called by the start methods."""
        _become(self)
        self._after_fork()
        self.run()
        return 0

    def _adopt(self, child: methods.Child) -> None:
        """In the parent: this process runs. Called by the start methods."""
        self._popen = child
        self._sentinel = child.sentinel
        # The target may refer to this object, and is not needed here any more.
        del self._target, self._args, self._kwargs
        _children.add(self)

    def _ended(self) -> None:
        """In the parent: the exit code is known. Called by the start methods."""

    def _environment(self) -> Mapping[str, str | None]:
        """Changes to the environment of a child that is no copy of its parent."""
        return NO_CHANGES

    @staticmethod
    def _after_fork() -> None:
        """For subclasses: something to be done first in the child."""


class Process(BaseProcess):
    """A process started by the start method in force when start() is called."""

    @staticmethod
    def _Popen(process_obj: BaseProcess) -> methods.Child:
        return methods.launch(process_obj)


class _MainProcess(BaseProcess):
    """The process that no process of ours has started."""

    def __init__(self) -> None:
        self._identity = ()
        self._name = "MainProcess"
        self._parent_pid = None
        self._popen = None
        self._closed = False
        # Copied by all descendants. The stdlib's semaphores look up the prefix of their names.
        self._config = {"authkey": AuthenticationString(os.urandom(32)), "semprefix": "/mp"}

    def close(self) -> None:
        """Nothing to close: this is the process itself."""


class _ParentProcess(BaseProcess):
    """A child's view of its parent. Whoever watches it gets lifeline.GRACE seconds to react."""

    def __init__(self, name: str, pid: int | None) -> None:
        self._identity = ()
        self._name = name
        self._pid = pid
        self._parent_pid = None
        self._popen = None
        self._closed = False
        self._config = {}

    @property
    def ident(self) -> int | None:
        """Process id."""
        return self._pid

    pid = ident

    @property
    def sentinel(self) -> int:
        """A descriptor that is readable once the parent has ended."""
        return lifeline.watch_parent()

    def is_alive(self) -> bool:
        """Whether the parent runs."""
        return not lifeline.parent_has_ended()

    def join(self, timeout: float | None = None) -> None:
        """Wait until the parent ends, at most `timeout` seconds (None: without limit)."""
        handle.await_readable(lifeline.watch_parent(), timeout)


def current_process() -> BaseProcess:
    """The process object of the process this is called in."""
    return _current_process


def parent_process() -> BaseProcess | None:
    """A process object for the parent of this process; None in the main process."""
    return _parent_process


def active_children() -> list[BaseProcess]:
    """This process's children that run. Those found to have ended are joined on the way."""
    _cleanup()
    return list(_children)


def _require(condition: bool, message: str) -> None:
    # An explicit raise: these checks must hold under `python -O` too.
    if not condition:
        raise AssertionError(message)


def _describe_exit(exitcode: int) -> str:
    try:
        return f"-{signal.Signals(-exitcode).name}"
    except ValueError:
        return str(exitcode)


def _cleanup() -> None:
    """Reap the children that have ended."""
    for process in list(_children):
        if process._popen is not None and process._popen.poll() is not None:
            _children.discard(process)


def _become(process: BaseProcess) -> None:
    """In a fresh child: be the process that `process` describes."""
    global _current_process, _parent_process, _process_counter
    if process._start_method is not None:
        methods.choose(process._start_method)
    _process_counter = itertools.count(1)
    _current_process = process
    _core.call_me(process._name)
    _parent_process = _ParentProcess(process._parent_name, process._parent_pid)
    stdlib.adopt(_current_process, _parent_process)


def _rehearse() -> None:
    """In a child that waits to be one of ours: the first steps of any."""
    sample = Process(target=int)
    sample._bootstrap()
    copy.copy(sample)


def _end_children() -> None:
    """At this process's end: terminate the daemonic children and workers, join the others."""
    daemons = []
    for process in active_children():
        # A child that has become another user's may not let us: it must not stop us, nor we wait.
        with contextlib.suppress(PermissionError):
            if process.daemon or process._is_worker:
                process.terminate()
                daemons.append(process)
    for process in active_children():
        if not (process.daemon or process._is_worker):
            process.join()
    deadline = time.monotonic() + DAEMON_GRACE
    for process in daemons:
        process.join(max(0.0, deadline - time.monotonic()))
        with contextlib.suppress(PermissionError):
            if process.exitcode is None:
                process.kill()
                process.join()


def _kill_children() -> None:
    """At this process's end, when the user does not want to wait any more."""
    for process in active_children():
        with contextlib.suppress(PermissionError):
            process.kill()
            process.join()


_children: set[BaseProcess] = set()
_dangling: weakref.WeakSet[BaseProcess] = weakref.WeakSet()  # for tests that look for leaks
_process_counter = itertools.count(1)
_parent_process: BaseProcess | None = None
_current_process: BaseProcess = _MainProcess()

# Any forked copy of this process has no children yet, also one that os.fork() made.
os.register_at_fork(after_in_child=_children.clear)
exits.set_child_ender(_end_children, _kill_children)
stdlib.meet(_current_process, _parent_process)
arrival.also_rehearse(_rehearse)
