"""The import hook: our package wherever a program says ``multiprocessing``.

A finder, asked before all others, answers for ``multiprocessing`` and everything below it:

- The package, and each submodule that procession has too, are stand-ins: modules that have what
  procession has, and where procession lacks a name, the standard library's.
- Any other submodule is the standard library's own, the very module, so that programs may patch it.

Likewise ``ProcessPoolExecutor`` of ``concurrent.futures`` is ours (see ``executors``).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import FrameType, ModuleType
from typing import Any

from procession import context
from procession._cli import agree, executors, explain, original, ours
from procession._launch import preparation, stdlib

_PUBLIC = original.PUBLIC
_account: explain.Account | None = None


def install(account: explain.Account | None = None) -> None:
    """Put ours in the standard library's place, for all imports from now on.

    What was imported before stays with those who have it. With an `account`, the program's uses of
    multiprocessing are noted there. A second call changes nothing but the account. Children that
    are no copies of this process call it first of all.
    """
    global _account
    _account = account
    if any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    for name in [*sys.modules]:
        if name == _PUBLIC or name.startswith(_PUBLIC + "."):
            del sys.modules[name]
    sys.meta_path.insert(0, _Finder())
    stdlib.borrow_from(original.load)
    context._notice = _note_borrowed
    executors.notice = _note_executor
    executors.put_ours()
    preparation.also_prepare(install)


class StandIn(ModuleType):
    """A module under the standard library's name, with ours behind it and the stdlib's behind ours.

    It has no attributes of its own but those that were asked for.
    """

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            return self._special(name)
        submodule = _submodule(self.__name__)
        if not submodule and _is_submodule(name):
            return import_module(f"{_PUBLIC}.{name}")
        value, is_ours = self._look_up(submodule, name)
        if isinstance(value, ModuleType):
            # The stdlib's modules hold each other; the program shall get what has their name.
            public = original.public_name(value)
            return value if public is None else import_module(public)
        label = f"{submodule}.{name}" if submodule else name
        noted = _note(label, is_ours=is_ours, caller=sys._getframe(1))
        # Functions and classes stay what they are; variables (private ones, too) may change.
        if noted and callable(value) and not name.startswith("_"):
            vars(self)[name] = value
        return value

    def __dir__(self) -> list[str]:
        submodule = _submodule(self.__name__)
        return sorted({*vars(self), *dir(original.load(submodule)), *ours.exported(submodule)})

    def _special(self, name: str) -> Any:
        # `from multiprocessing import *` gives what it gives without us. Everything else of this
        # kind belongs to a module, not to what is in it.
        if name == "__all__":
            return getattr(original.load(_submodule(self.__name__)), name)
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")

    def _look_up(self, submodule: str, name: str) -> tuple[Any, bool]:
        if (submodule, name) in _JOINT:
            return _JOINT[submodule, name], True
        module = ours.load(submodule)
        # Private names, where we have them, are the state in force.
        private = name.startswith("_") and submodule and hasattr(module, name)
        if private or name in ours.exported(submodule):
            return getattr(module, name), True
        try:
            return getattr(original.load(submodule), name), False
        except AttributeError:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}") from None


# Where it takes both packages to answer.
_JOINT: dict[tuple[str, str], Any] = {
    ("", "active_children"): agree.active_children,
    ("process", "active_children"): agree.active_children,
}


class _Finder:
    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _PUBLIC and not fullname.startswith(_PUBLIC + "."):
            return original.find(fullname)
        submodule = _submodule(fullname)
        if original.file_of(submodule) is None:
            return None
        found = ours.find(submodule)
        if found is None:
            theirs: Any = _TheirsLoader()
            return ModuleSpec(fullname, theirs, origin=original.file_of(submodule))
        is_package = found.submodule_search_locations is not None
        loader: Any = _StandInLoader()
        spec = ModuleSpec(fullname, loader, origin=found.origin, is_package=is_package)
        spec.has_location = found.has_location
        return spec


class _StandInLoader:
    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return StandIn(spec.name, ours.load(_submodule(spec.name)).__doc__)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing: a stand-in fills as it is used."""


class _TheirsLoader:
    def create_module(self, spec: ModuleSpec) -> None:
        """The import system's own choice will do: it is about to be replaced."""

    def exec_module(self, module: ModuleType) -> None:
        submodule = _submodule(module.__name__)
        sys.modules[module.__name__] = original.load(submodule)
        _note(f"{submodule} (module)", is_ours=False, caller=sys._getframe(1))


def _note_borrowed(borrower: context.BaseContext, name: str) -> None:
    """A context of ours gave what the standard library's has."""
    _note(f"{type(borrower).__name__}.{name}", is_ours=False, caller=sys._getframe(1))


def _note_executor(name: str, caller: FrameType) -> None:
    _note(name, is_ours=True, caller=caller)


def _note(name: str, *, is_ours: bool, caller: FrameType) -> bool:
    return _account is None or _account.note(name, ours=is_ours, caller=caller)


def _submodule(fullname: str) -> str:
    return fullname.removeprefix(_PUBLIC).lstrip(".")


def _is_submodule(name: str) -> bool:
    # popen_*: one for each start method, not all of them for this system.
    return not name.startswith("popen_") and original.file_of(name) is not None
