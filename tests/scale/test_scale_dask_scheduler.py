"""Dask's scheduler dies, and comes again, or does not: each task has an answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from procession import Pool, WorkerDied, backends
from procession.errors.backend import EngineLost
from tests.plugins.clusters import DaskCluster
from tests.scale.dask_tasks import Gate, double, kill_worker, note, through

pytestmark = [pytest.mark.scale, pytest.mark.watchdog(120)]


def test_a_scheduler_that_is_started_again_has_the_retried_tasks_run(
    own_dask_cluster: DaskCluster, tmp_path: Path
) -> None:
    one, other = Gate(tmp_path, "one"), Gate(tmp_path, "other")
    with Pool(backend=backends.dask(address=own_dask_cluster.address)) as pool:
        fails = pool.apply_async(through, (one, "one"))
        again = pool.options(retries=1).apply_async(through, (other, "other"))
        one.await_task()
        other.await_task()
        own_dask_cluster.restart()
        with pytest.raises(WorkerDied, match="scheduler"):
            fails.get()
        other.await_task()
        other.open()
        assert again.get() == "other"
        assert pool.map(double, range(1000)) == [2 * number for number in range(1000)]


def test_a_scheduler_that_was_replaced_while_nothing_ran_knows_our_tasks(
    own_dask_cluster: DaskCluster, tmp_path: Path
) -> None:
    with Pool(backend=backends.dask(address=own_dask_cluster.address)) as pool:
        assert pool.apply(double, (4,)) == 8
        own_dask_cluster.restart()
        # Before it is there, or after: either way the task waits for it.
        with pytest.raises(WorkerDied):
            pool.options(retries=1).apply(kill_worker, (tmp_path / "runs",))
    # The loss of the connection may have been the first death, before it had begun.
    assert note(tmp_path / "runs") in (1 + 1, 2 + 1)


def test_a_scheduler_that_stays_away_fails_each_task(
    own_dask_cluster: DaskCluster, tmp_path: Path
) -> None:
    gate = Gate(tmp_path, "gate")
    chosen = backends.dask(address=own_dask_cluster.address, timeout=1)
    with Pool(backend=chosen) as pool:
        held = pool.apply_async(through, (gate, 1))
        gate.await_task()
        # More than there are places: some are sent, some wait here.
        others = [pool.options(retries=5).apply_async(through, (gate, 1)) for _ in range(5)]
        own_dask_cluster.scheduler.kill()
        with pytest.raises(WorkerDied, match="scheduler"):
            held.get()
        for other in others:
            with pytest.raises(EngineLost, match="scheduler"):
                other.get()
        with pytest.raises(EngineLost, match="new pool"):
            pool.apply(double, (4,))
