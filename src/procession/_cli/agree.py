"""Makes the standard library's multiprocessing agree with ours, where a program uses both.

Its modules, kept under ``procession._stdlib``, are adjusted when they are loaded:

- Both know the same current and parent process, whichever of them started it, and count the
  processes together; so names in log records, authentication keys and names of semaphores match.
- One start method is in force for both; and an error of the one is an error of the other.
- Interpreters that it starts (spawn, forkserver) have our package in its place, too.
- At the end of a process that it started, children of ours are ended as well.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from procession import context, errors, process
from procession._launch import exits, methods

_PREPARE = "from procession._cli import standin; standin.install(); "
# The resource tracker stands alone: it needs nothing of ours.
_STARTED_BY = ("from multiprocessing.spawn import", "from multiprocessing.forkserver import")


def adjust(submodule: str, module: ModuleType) -> None:
    """Adjust a module of the standard library's package, which has just been loaded."""
    adjustment = _ADJUSTMENTS.get(submodule)
    if adjustment is not None:
        adjustment(module)


def active_children() -> list[process.BaseProcess]:
    """This process's children that run: ours, and those that the standard library started."""
    children = process.active_children()
    stdlib = sys.modules.get("procession._stdlib.process")
    if stdlib is not None:
        children += stdlib.active_children()
    return children


def _adjust_process(stdlib: Any) -> None:
    stdlib._current_process = process.current_process()
    stdlib._parent_process = process.parent_process()
    stdlib._process_counter = process._process_counter
    bootstrap: Callable[[Any, int | None], int] = stdlib.BaseProcess._bootstrap

    def bootstrap_both(self: Any, parent_sentinel: int | None = None) -> int:
        process._process_counter = itertools.count(1)
        process._current_process = self
        process._parent_process = stdlib._ParentProcess(
            self._parent_name, self._parent_pid, parent_sentinel
        )
        return bootstrap(self, parent_sentinel)

    stdlib.BaseProcess._bootstrap = bootstrap_both


def _adjust_context(stdlib: Any) -> None:
    base, default = stdlib.BaseContext, stdlib.DefaultContext
    for name in errors.__all__:  # what it raises is what the program's names catch
        setattr(stdlib, name, getattr(errors, name))
        setattr(base, name, getattr(errors, name))

    def get_context(self: Any, method: str | None = None) -> Any:
        return base.get_context(self, methods.settle() if method is None else method)

    def get_start_method(self: Any, allow_none: bool = False) -> str | None:
        return methods.chosen() if allow_none else methods.settle()

    def set_start_method(self: Any, method: str | None, force: bool = False) -> None:
        context._default_context.set_start_method(method, force)

    default.get_context = get_context
    default.get_start_method = get_start_method
    default.set_start_method = set_start_method
    stdlib._force_start_method = methods.choose
    refuse: Callable[[Any], Any] = process.AuthenticationString.__reduce__

    def reduce_key(self: process.AuthenticationString) -> Any:
        # As with its own keys: only on the way to a child that is being started.
        if stdlib.get_spawning_popen() is None:
            return refuse(self)
        return stdlib.process.AuthenticationString, (bytes(self),)

    # Whoever reads it may know the public name only, which leads there with us, too.
    stdlib.process.AuthenticationString.__module__ = "multiprocessing.process"

    # Not only for its own pickler: others start processes with picklers of theirs (joblib).
    process.AuthenticationString.__reduce__ = reduce_key  # type: ignore[method-assign]


def _adjust_util(stdlib: Any) -> None:
    exit_function: Callable[[], None] = stdlib._exit_function
    spawn: Callable[[Any, Sequence[Any], Any], int] = stdlib.spawnv_passfds

    def exit_both() -> None:
        exits.run()
        exit_function()

    def spawn_prepared(path: Any, args: Sequence[Any], passfds: Any) -> int:
        prepared = [
            _PREPARE + arg if isinstance(arg, str) and arg.startswith(_STARTED_BY) else arg
            for arg in args
        ]
        return spawn(path, prepared, passfds)

    # It is called by this name at the end of a child. In the main process, both are with atexit.
    stdlib._exit_function = exit_both
    stdlib.spawnv_passfds = spawn_prepared


_ADJUSTMENTS: dict[str, Callable[[Any], None]] = {
    "process": _adjust_process,
    "context": _adjust_context,
    "util": _adjust_util,
}
