"""Engines over several machines, started once by their own commands and kept for all tests.

The machines are addresses of this one: all of 127.0.0.0/8 is local. Nothing listens elsewhere.
Tests that kill something start a cluster for themselves (``DaskCluster`` as a context).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import import_module
from types import TracebackType
from typing import Any, Self

import pytest

from tests.plugins.commands import BIN, Command, free_port, kept

# Ray would tell of its use, ask for a token that it writes to the home directory, and warn.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")


class DaskCluster:
    """A scheduler on 127.0.0.2 and two nodes, 127.0.0.3 and 127.0.0.4, of one worker each."""

    HOST = "127.0.0.2"
    NODES = ("127.0.0.3", "127.0.0.4")

    def __init__(self) -> None:
        self.port = free_port(self.HOST)
        self.address = f"tcp://{self.HOST}:{self.port}"
        self._started: list[Command] = []
        self.scheduler = self.start_scheduler()
        self.nodes = {node: self.start_node(node) for node in self.NODES}

    def start_scheduler(self) -> Command:
        """Start a scheduler, the first or one in place of one that has ended."""
        where = ("--host", self.HOST, "--port", str(self.port))
        return self._start("scheduler", *where)

    def start_node(self, host: str) -> Command:
        """Start a nanny and its worker on a node."""
        return self._start("worker", self.address, "--host", host, "--nthreads", "1")

    def _start(self, *words: str) -> Command:
        command = Command(BIN / "dask", *words, "--no-dashboard")
        self._started.append(command)
        return command

    def restart(self) -> None:
        """Kill all, and start it anew at the same address."""
        for command in [self.scheduler, *self.nodes.values()]:
            command.kill()
        self.scheduler = self.start_scheduler()
        self.nodes = {node: self.start_node(node) for node in self.nodes}

    def wait(self, workers: int = 2) -> None:
        """Wait until that many workers are there."""
        client = import_module("distributed").Client(self.address, set_as_default=False, timeout=30)
        with client:
            client.wait_for_workers(workers, timeout=30)

    def __enter__(self) -> Self:
        try:
            self.wait(len(self.nodes))
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """End everything."""
        for command in reversed(self._started):
            command.end()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


_shared: list[DaskCluster] = []


def shared_dask_cluster() -> DaskCluster:
    """The cluster of all tests, for one that is marked ``uses("dask_cluster")``."""
    return _shared[0]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "uses(fixture): has a fixture of the session made before the first test"
    )


@pytest.fixture(autouse=True, scope="session")
def _made_before(request: pytest.FixtureRequest) -> None:
    """What lives as long as the session must be there before a test looks for what is new."""
    marks = [mark for item in request.session.items for mark in item.iter_markers("uses")]
    for fixture in sorted({str(mark.args[0]) for mark in marks}):
        request.getfixturevalue(fixture)


@pytest.fixture(scope="session")
def dask_cluster() -> Iterator[DaskCluster]:
    """The cluster that all tests share; none may harm it."""
    with DaskCluster() as cluster:
        pids = {command.pid for command in [cluster.scheduler, *cluster.nodes.values()]}
        kept.update(pids)
        _shared.append(cluster)
        yield cluster
        _shared.remove(cluster)
        kept.difference_update(pids)


@pytest.fixture
def own_dask_cluster() -> Iterator[DaskCluster]:
    """One for a test that kills."""
    with DaskCluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def dask_client(dask_cluster: DaskCluster) -> Iterator[Any]:
    """A client of the shared cluster."""
    client = import_module("distributed").Client(dask_cluster.address, set_as_default=False)
    with client:
        yield client
