"""The engines that have names, and where what makes their backends is.

A backend's module loads the engine's own package only when it is opened.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

from procession._backends.abilities import Ability

PROCESSES = "processes"


class Place(NamedTuple):
    """Where a backend is.

    Attributes:
        package: what has to be installed for it, which is also the name of our extra; or nothing.
        imported: how that is imported.
    """

    module: str
    factory: str
    package: str = ""
    imported: str = ""


PLACES = {
    "threads": Place("procession._backends.threads", "ThreadsBackend"),
    "executor": Place("procession._backends.executor", "ExecutorBackend"),
    "ray": Place("procession._backends.ray", "RayBackend", "ray", "ray"),
    "dask": Place("procession._backends.dask", "DaskBackend", "dask", "distributed"),
}

BY_NAME = (PROCESSES, *(name for name in PLACES if name != "executor"))
"""What ``backend=`` may be as a string."""


def factory(name: str) -> Any:
    """What makes the backend of this name; its ``abilities`` are known without the engine."""
    place = PLACES[name]
    return getattr(import_module(place.module), place.factory)


def require(name: str) -> None:
    """Raises ModuleNotFoundError if an engine is not installed."""
    place = PLACES[name]
    if place.package and find_spec(place.imported) is None:
        raise ModuleNotFoundError(
            f'backend="{name}" needs the package {place.imported!r}, which is not installed: '
            f"pip install procession[{place.package}]",
            name=place.imported,
        )


def abilities_by_name() -> dict[str, frozenset[Ability]]:
    """What each engine can do."""
    found = {PROCESSES: frozenset(Ability) - {Ability.BY_REFERENCE}}
    for name in PLACES:
        found[name] = frozenset(factory(name).abilities)
    return found
