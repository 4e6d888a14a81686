"""The standard library's multiprocessing, kept under the private name ``procession._stdlib``.

It is loaded from the standard library's own files, when something of it is asked for. Its imports
of each other are relative, and so stay within ``procession._stdlib`` (all but those of
``connection.wait``, which can be anybody's). For ``concurrent.futures.process``, which is built on
its private parts, ``import multiprocessing`` is led there.

Submodules that procession has not call themselves by their public names. So what is pickled can be
read by an interpreter in which nobody has replaced anything (a manager's client, a worker of
joblib's), and reports read well.
"""

from __future__ import annotations

import builtins
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import ModuleType
from typing import Any

from procession._cli import agree, executors, ours

PUBLIC = "multiprocessing"
NAME = "procession._stdlib"
FOLDER = os.path.join(os.path.dirname(os.__file__), PUBLIC)

# Outside of the package, who relies on its private parts.
_INSIDERS = {
    executors.MODULE: os.path.join(os.path.dirname(FOLDER), "concurrent", "futures", "process.py")
}


def find(fullname: str) -> ModuleSpec | None:
    """How to load a module of ``procession._stdlib``, or an insider; None if it is neither."""
    if fullname in _INSIDERS:
        return _spec(fullname, _INSIDERS[fullname], _InsiderLoader)
    if fullname == NAME or fullname.startswith(NAME + "."):
        file = file_of(fullname.removeprefix(NAME).lstrip("."))
        return None if file is None else _spec(fullname, file, _Loader)
    return None


def file_of(submodule: str) -> str | None:
    """The file of a submodule ("pool", "dummy.connection"; "" is the package); None: no such."""
    path = os.path.join(FOLDER, *filter(None, submodule.split(".")))
    for file in (os.path.join(path, "__init__.py"), f"{path}.py"):
        if os.path.isfile(file):
            return file
    return None


def load(submodule: str = "") -> ModuleType:
    """The standard library's submodule itself ("" is the package)."""
    return import_module(f"{NAME}.{submodule}" if submodule else NAME)


def public_name(module: ModuleType) -> str | None:
    """What programs call a module of ``procession._stdlib``; None if it is none."""
    # Not __name__: see _Loader.
    name = getattr(module.__spec__, "name", "")
    if name == NAME or name.startswith(NAME + "."):
        return PUBLIC + name.removeprefix(NAME)
    return None


def _spec(fullname: str, file: str, kind: type[SourceFileLoader]) -> ModuleSpec | None:
    if not os.path.isfile(file):
        return None
    is_package = os.path.basename(file) == "__init__.py"
    spec = ModuleSpec(fullname, kind(fullname, file), origin=file, is_package=is_package)
    spec.has_location = True
    if spec.submodule_search_locations is not None:
        spec.submodule_search_locations.append(os.path.dirname(file))
    return spec


class _InsiderLoader(SourceFileLoader):
    """Loads a module whose ``import multiprocessing`` gets the standard library's."""

    def exec_module(self, module: ModuleType) -> None:
        # An import statement calls the __import__ of its module's builtins.
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": _import}
        super().exec_module(module)
        if self.name == executors.MODULE:
            executors.put_ours_into(module)


class _Loader(SourceFileLoader):
    """Loads a module of the package, and has it adjusted."""

    def exec_module(self, module: ModuleType) -> None:
        submodule = self.name.removeprefix(NAME).lstrip(".")
        # A package keeps its own name: the import system looks for submodules under it.
        if not self.is_package(self.name) and ours.find(submodule) is None:
            module.__name__ = f"{PUBLIC}.{submodule}"
        code = self.get_code(self.name)
        assert code is not None
        exec(code, vars(module))
        agree.adjust(submodule, module)


def _import(
    name: str,
    globals: Mapping[str, Any] | None = None,
    locals: Mapping[str, Any] | None = None,
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> ModuleType:
    if level == 0 and (name == PUBLIC or name.startswith(PUBLIC + ".")):
        name = NAME + name.removeprefix(PUBLIC)
        if not fromlist:
            # `import multiprocessing.queues` binds the first name of the two.
            import_module(name)
            return sys.modules[NAME]
    return builtins.__import__(name, globals, locals, fromlist or (), level)
