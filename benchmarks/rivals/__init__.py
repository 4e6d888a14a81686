"""One file per rival, named as on the command line. A new file here is a new rival."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from benchmarks.contract import Rival

OURSELVES = "procession"
"""What all others are compared with."""


def names() -> list[str]:
    """All rivals that have a file here, ourselves first; nothing is imported."""
    found = [module.name for module in iter_modules(__path__)]
    return sorted(found, key=lambda name: (name != OURSELVES, name))


def load(name: str) -> type[Rival]:
    """The rival's adapter. Imports the rival: for the cell's process only.

    Raises:
        ModuleNotFoundError: the rival is not installed.
    """
    module = import_module(name if "." in name else f"{__name__}.{name}")
    rival: type[Rival] = module.Rival
    return rival
