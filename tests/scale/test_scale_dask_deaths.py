"""Workers and nodes of a Dask cluster die: their tasks are told of or run again, others go on."""

from __future__ import annotations

import os
import signal
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from procession import Pool, WorkerDied, backends
from tests.plugins.clusters import DaskCluster
from tests.scale.dask_tasks import (
    Gate,
    double,
    double_or_die,
    kill_first_worker,
    kill_worker,
    note,
    through,
)

pytestmark = [pytest.mark.scale, pytest.mark.watchdog(120)]


def fetch_to_the_end(future: Any) -> None:
    """Fetch a result until that fails: for a while the scheduler does not know of a death."""
    while True:
        future.result()


@pytest.mark.parametrize("gone", ["worker", "node"])
def test_who_is_gone_fails_its_task_and_no_other(
    own_dask_cluster: DaskCluster, tmp_path: Path, gone: str
) -> None:
    one, other = Gate(tmp_path, "one"), Gate(tmp_path, "other")
    with Pool(backend=backends.dask(address=own_dask_cluster.address)) as pool:
        dies = pool.apply_async(through, (one, "one"))
        lives = pool.apply_async(through, (other, "other"))
        victim, survivor = one.await_task(), other.await_task()
        assert {victim.host, survivor.host} == set(own_dask_cluster.NODES)
        if gone == "worker":
            os.kill(victim.pid, signal.SIGKILL)
        else:
            own_dask_cluster.nodes[victim.host].kill()
        with pytest.raises(WorkerDied) as caught:
            dies.get()
        assert (caught.value.pid, caught.value.node) == victim
        other.open()
        assert lives.get() == "other"
        assert pool.map(double, range(1000)) == [2 * number for number in range(1000)]


def test_a_task_of_a_node_that_is_gone_is_run_again_on_another(
    own_dask_cluster: DaskCluster, tmp_path: Path
) -> None:
    gate = Gate(tmp_path, "gate")
    with Pool(backend=backends.dask(address=own_dask_cluster.address)) as pool:
        result = pool.options(retries=1).apply_async(through, (gate, "done"))
        victim = gate.await_task()
        own_dask_cluster.nodes[victim.host].kill()
        second = gate.await_task()
        assert second.host != victim.host
        gate.open()
        assert result.get() == "done"


def test_a_task_that_kills_its_worker_is_begun_once(
    own_dask_cluster: DaskCluster, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    with Pool(backend=backends.dask(address=own_dask_cluster.address)) as pool:
        with pytest.raises(WorkerDied):
            pool.apply(kill_worker, (runs,))
        assert pool.apply(double, (4,)) == 8
    assert note(runs) == 1 + 1


def test_a_task_that_kills_its_worker_has_the_retries_that_it_was_given(
    own_dask_cluster: DaskCluster, tmp_path: Path
) -> None:
    with Pool(backend=backends.dask(address=own_dask_cluster.address)) as pool:
        twice = pool.options(retries=2)
        assert twice.apply(kill_first_worker, (tmp_path / "first", 5)) == 5
        with pytest.raises(WorkerDied):
            twice.apply(kill_worker, (tmp_path / "always",))
    assert note(tmp_path / "first") == 2 + 1
    assert note(tmp_path / "always") == 3 + 1


def test_a_chunk_whose_worker_dies_is_run_again_right(
    own_dask_cluster: DaskCluster, tmp_path: Path
) -> None:
    items = range(300)
    task = partial(double_or_die, deadly=150, path=tmp_path / "runs")
    with Pool(backend=backends.dask(address=own_dask_cluster.address)) as pool:
        results = pool.options(retries=3).map(task, items, chunksize=20)
    assert results == [2 * number for number in items]


def test_a_result_that_is_lost_before_it_was_fetched_is_not_made_anew(
    own_dask_cluster: DaskCluster, tmp_path: Path
) -> None:
    distributed = import_module("distributed")
    runs = tmp_path / "runs"
    address = own_dask_cluster.address
    with distributed.Client(address, set_as_default=False) as client:
        with Pool(backend=backends.dask(client=client)) as pool:
            assert pool.apply(double, (4,)) == 8  # our plugin is there
            future = client.submit(note, runs, key="procession-test-1", pure=False)
            assert future.result() == 1
            (holder,) = client.who_has([future])[future.key]
            os.kill(client.run(os.getpid, workers=[holder])[holder], signal.SIGKILL)
            with pytest.raises(distributed.client.FutureCancelledError):
                fetch_to_the_end(future)
        assert client.status == "running"
    assert note(runs) == 1 + 1
