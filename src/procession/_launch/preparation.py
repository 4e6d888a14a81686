"""What a fresh interpreter must know before it can unpickle a process object.

Module search path, arguments, working directory, start method, and the program's ``__main__``:
it is imported again, under the name ``__mp_main__``, as the standard library does, so that
functions and classes in it are found. The parent's side of it is ``description``.
"""

from __future__ import annotations

import contextlib
import os
import runpy
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from procession import _core
from procession._launch import lifeline, methods, settings, stdlib
from procession._launch.parcel import Carried

MAIN_AGAIN = "__mp_main__"

_START_WHILE_PREPARING = """a process was started while this one, itself a child, was importing \
the program

A child that is no copy of its parent imports the program's main module again, to find its functions
and classes. What shall not happen again there, as the start of processes, belongs behind

    if __name__ == "__main__":
        ...
"""

_hooks: list[Callable[[], object]] = []
_preparing = False
_environment: dict[str, str] = {}  # of a child that has waited


class Preparation(NamedTuple):
    """How to prepare an interpreter; pickled by the parent, applied in the child.

    Attributes:
        title: what reports call the child.
        lifeline: the parent's (see ``lifeline``).
        arena, token: the family's arena, and the parent's token in it.
        zygote: the way to the family's zygote, if there is one.
        output: standard output and error, for a child that does not inherit the parent's.
        environment: likewise.
        mask: the signals that are held back in the parent.
    """

    title: str
    lifeline: Carried
    arena: Carried
    token: int
    zygote: Carried | None
    output: tuple[Carried | None, Carried | None] | None
    environment: Mapping[str, str] | None
    mask: frozenset[int]
    path: list[str]
    arguments: list[str]
    directory: str | None
    start_method: str | None
    executable: str
    preload: list[str]
    main_name: str | None
    main_path: str | None
    has_main: bool
    theirs: Mapping[str, Any]
    hooks: tuple[Callable[[], object], ...]

    def tie(self) -> None:
        """Die with the parent. Raises OSError if there are no descriptors left."""
        lifeline.arm_to(self.lifeline.detach())

    def settle(self) -> None:
        """Be a child of the parent's in the rest, too: share its arena, print where it prints."""
        _core.adopt(self.arena.detach(), self.token)
        if self.environment is not None and self.environment != (_environment or os.environ):
            os.environ.clear()
            os.environ.update(self.environment)
        for target, carried in zip((1, 2), self.output or (), strict=False):
            if carried is not None:
                os.dup2(carried.detach(), target)
                os.close(carried.detach())

    def apply(self) -> None:
        """Make this interpreter like the parent's.

        Raises:
            Exception: what the import of the program's main module raises.
        """
        self.inform()
        self.run_hooks()
        stdlib.restore(self.theirs)
        self.import_main()

    def inform(self) -> None:
        """Take over what is plain data."""
        sys.path[:] = self.path
        sys.argv[:] = self.arguments
        if self.directory is not None:
            os.chdir(self.directory)
        methods.choose(self.start_method)
        settings.set_executable(self.executable)
        settings.set_preload(self.preload)

    def run_hooks(self) -> None:
        """Run what also_prepare() was told, and have it run in children of this process, too."""
        for hook in self.hooks:
            hook()
        _hooks[:] = self.hooks

    def import_main(self) -> None:
        """Have the program's main module here; nothing if it is, or shall not be.

        Raises:
            Exception: what its import raises.
        """
        here = sys.modules["__main__"]
        if not self.has_main or self.main_path == getattr(here, "__file__", ""):
            return
        if self.main_name is not None and self.main_name == getattr(here.__spec__, "name", ""):
            return
        with in_progress():
            if self.main_name is not None:
                found = runpy.run_module(self.main_name, run_name=MAIN_AGAIN, alter_sys=True)
            else:
                assert self.main_path is not None
                found = runpy.run_path(self.main_path, run_name=MAIN_AGAIN)
        module = types.ModuleType(MAIN_AGAIN)
        vars(module).update(found)
        sys.modules["__main__"] = sys.modules[MAIN_AGAIN] = module


def remember_environment() -> None:
    """In a child that waits: this environment will be compared with the parent's."""
    global _environment
    _environment = dict(os.environ)


def also_prepare(hook: Callable[[], object]) -> None:
    """Have a function, which can be pickled, called in each child before its main is imported."""
    if hook not in _hooks:
        _hooks.append(hook)


def hooks() -> tuple[Callable[[], object], ...]:
    """What also_prepare() was told."""
    return tuple(_hooks)


@contextlib.contextmanager
def in_progress() -> Iterator[None]:
    """In the with-block, check_start() refuses."""
    global _preparing
    before, _preparing = _preparing, True
    try:
        yield
    finally:
        _preparing = before


def check_start() -> None:
    """Raises RuntimeError, with the remedy, while this process imports its parent's main module;
    and where the interpreter is ending: a thread that is started then never runs."""
    if sys.is_finalizing():
        raise RuntimeError("no process can be started after interpreter shutdown")
    if _preparing:
        raise RuntimeError(_START_WHILE_PREPARING)
