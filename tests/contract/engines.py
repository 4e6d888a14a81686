"""The engines that the contract is held against. Another one is added to ``SETTINGS``."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

import pytest

from procession import backends
from procession._backends.abilities import Ability
from procession._backends.naming import abilities_by_name
from tests.plugins.clusters import shared_dask_cluster
from tests.scale import rays

WORKERS = 2


class Setting(NamedTuple):
    """An engine, and how a test gets it.

    Attributes:
        name: of the setting, in the tests' names.
        kind: the engine's name in the table of abilities.
        backend: while a test runs, what ``backend=`` is; it has two workers.
        marks: of pytest's.
        options: what ``backend_options=`` is.
        start: seconds that a new worker may need until it can call a function.
    """

    name: str
    kind: str
    backend: Callable[[], AbstractContextManager[Any]]
    marks: tuple[pytest.MarkDecorator, ...] = ()
    options: dict[str, Any] | None = None
    start: float = 0.0

    @property
    def abilities(self) -> frozenset[Ability]:
        """What the engine can do."""
        return abilities_by_name()[self.kind]

    def can(self, ability: Ability) -> bool:
        """Whether it has this ability."""
        return ability in self.abilities

    @property
    def has_processes(self) -> bool:
        """Whether its workers are processes of their own."""
        return not self.can(Ability.BY_REFERENCE)


@contextmanager
def _process_pool() -> Iterator[ProcessPoolExecutor]:
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(WORKERS, context) as executor:
        yield executor


@contextmanager
def _loky() -> Iterator[Any]:
    loky: Any = import_module("loky")
    executor = loky.ProcessPoolExecutor(WORKERS)
    try:
        yield executor
    finally:
        executor.shutdown(wait=True, kill_workers=True)


@contextmanager
def _dask() -> Iterator[Any]:
    yield backends.dask(address=shared_dask_cluster().address)


@contextmanager
def _ray() -> Iterator[str]:
    rays.connect_to_shared()
    yield "ray"


_OWN_AFFAIR = "threads, connections and idle workers are the engine's own affair"

SETTINGS = [
    Setting("processes", "processes", lambda: nullcontext("processes")),
    Setting("threads", "threads", lambda: nullcontext("threads")),
    Setting("executor", "executor", _process_pool),
    Setting(
        "loky",
        "executor",
        _loky,
        (pytest.mark.scale, pytest.mark.may_leak(reason="loky's")),
        start=5.0,
    ),
    Setting(
        "dask",
        "dask",
        _dask,
        (pytest.mark.scale, pytest.mark.uses("dask_cluster"), pytest.mark.watchdog(240)),
        start=3.0,
    ),
    Setting(
        "ray",
        "ray",
        _ray,
        (
            pytest.mark.scale,
            pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed"),
            pytest.mark.may_leak(reason=_OWN_AFFAIR),
            pytest.mark.watchdog(180),
        ),
        start=5.0,
    ),
]
