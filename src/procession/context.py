"""Contexts: the package's functions and classes, bound to one start method.

``get_context("fork")`` gives an object with the names of the package itself, whose processes all
start that way. The package's own functions belong to the default context, whose start method can
be chosen once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from procession import errors, process
from procession._launch import cpus, fork, methods

if TYPE_CHECKING:
    from procession import pool

__all__ = ["BaseContext", "DefaultContext", "ForkContext", "ForkProcess", "Process", "get_context"]

Process = process.Process


class ForkProcess(process.BaseProcess):
    """A process started by fork, whatever start method is in force."""

    _start_method = "fork"

    @staticmethod
    def _Popen(process_obj: process.BaseProcess) -> methods.Child:
        return fork.launch(process_obj)


class BaseContext:
    """What all contexts have."""

    Process: ClassVar[type[process.BaseProcess]]
    _name: ClassVar[str]

    fallback: ClassVar[Callable[[BaseContext, str], Any] | None] = None
    """Asked for names that contexts lack; `procession run` answers with the stdlib's."""

    ProcessError = errors.ProcessError
    BufferTooShort = errors.BufferTooShort
    TimeoutError = errors.TimeoutError
    AuthenticationError = errors.AuthenticationError

    current_process = staticmethod(process.current_process)
    parent_process = staticmethod(process.parent_process)
    active_children = staticmethod(process.active_children)

    def cpu_count(self) -> int:
        """Number of CPUs this process may use: affinity and control group quotas considered."""
        return cpus.cpu_count()

    def Pool(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
    ) -> pool.Pool:
        """A pool of worker processes; see ``procession.pool.Pool``."""
        from procession.pool import Pool  # lazy: the pool door is heavy

        return Pool(processes, initializer, initargs, maxtasksperchild, context=self.get_context())

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

    def __getattr__(self, name: str) -> Any:
        if BaseContext.fallback is not None and not name.startswith("_"):
            return BaseContext.fallback(self, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


class ForkContext(BaseContext):
    """Processes start by fork: copies of the running process, ready at once."""

    _name = "fork"
    Process = ForkProcess


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


_contexts: dict[str, BaseContext] = {"fork": ForkContext()}


def _concrete(method: str) -> BaseContext:
    try:
        return _contexts[method]
    except KeyError:
        pass
    remedy = ""
    if method in ("spawn", "forkserver"):
        remedy = (
            f": this version of procession starts processes by {', '.join(_contexts)} only; "
            f"use get_context('fork'), or the standard library's multiprocessing for {method!r}"
        )
    raise ValueError(f"cannot find context for {method!r}{remedy}")


_default_context = DefaultContext()
get_context = _default_context.get_context
Pool = _default_context.Pool
cpu_count = _default_context.cpu_count
freeze_support = _default_context.freeze_support
get_all_start_methods = _default_context.get_all_start_methods
get_start_method = _default_context.get_start_method
set_start_method = _default_context.set_start_method
