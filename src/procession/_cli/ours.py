"""What procession has, by the names that the standard library gives to the parts of its package.

Looked up whenever it is asked for; so what procession gets one day is found without a change here.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

import procession

# Modules of ours that have everything from the standard library: so a program gets it there.
_BORROWED = {
    "dummy",
    "managers",
    "reduction",
    "resource_sharer",
    "util",
}


def find(submodule: str) -> ModuleSpec | None:
    """Where our submodule is ("pool", "dummy.connection"; "" is the package); None: no such."""
    if not submodule:
        return procession.__spec__
    package, _, last = f"procession.{submodule}".rpartition(".")
    if last.startswith("_") or submodule.partition(".")[0] in _BORROWED:
        return None
    try:
        return PathFinder.find_spec(f"{package}.{last}", import_module(package).__path__)
    except (ImportError, AttributeError):
        return None


def load(submodule: str) -> ModuleType:
    """Our submodule itself ("" is the package)."""
    return import_module(f"procession.{submodule}" if submodule else "procession")


def exported(submodule: str) -> Sequence[str]:
    """The public names in our submodule; not what it has from the standard library."""
    module = load(submodule)
    borrowed = getattr(module, "_BORROWED", ())
    return [name for name in getattr(module, "__all__", ()) if name not in borrowed]
