"""A pool on a cluster of Dask's: what is different there, beside the contract of all engines."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy
import pytest

import procession
from procession import Pool, TaskTimeout, backends
from procession.errors.backend import EngineLost
from tests.plugins.clusters import DaskCluster
from tests.scale.dask_tasks import (
    Gate,
    buffer_of,
    double,
    doubled,
    doubled_by_pools,
    here,
    note,
    seven,
    sleep_and_tell,
    through,
)

pytestmark = pytest.mark.scale


@pytest.fixture
def chosen(dask_cluster: DaskCluster) -> Any:
    """The cluster that all tests share."""
    return backends.dask(address=dask_cluster.address)


def test_it_has_as_many_workers_as_the_cluster_has_threads(chosen: Any) -> None:
    with Pool(backend=chosen) as pool:
        assert pool.map(double, range(10_000)) == [2 * number for number in range(10_000)]
        assert {result.host for result in pool.map(call, [here] * 20, chunksize=1)} <= {
            "127.0.0.3",
            "127.0.0.4",
        }


def call(function: Callable[[], Any]) -> Any:
    """Of functions a map."""
    return function()


def test_pools_within_tasks_leave_room_for_what_they_wait_for(dask_cluster: DaskCluster) -> None:
    """With more such tasks than the cluster has threads, and two pools in each."""
    distributed = import_module("distributed")
    with distributed.Client(dask_cluster.address, set_as_default=False) as client:
        tasks = client.map(doubled_by_pools, range(3, 11), pure=False)
        assert client.gather(tasks) == [[2 * x for x in range(n)] for n in range(3, 11)]


def test_a_shared_array_is_sent_once_to_each_worker(chosen: Any) -> None:
    array = procession.share(numpy.arange(100_000.0))
    with Pool(backend=chosen) as pool:
        found = [pool.apply(buffer_of, (array,)) for _ in range(8)]
    assert {total for *_, total in found} == {float(array.sum())}
    for pid in {pid for pid, *_ in found}:
        assert len({address for worker, address, _ in found if worker == pid}) == 1


def test_what_is_kept_is_sent_again_when_its_workers_are_gone(
    own_dask_cluster: DaskCluster,
) -> None:
    array = procession.share(numpy.arange(100_000.0))
    with Pool(backend=backends.dask(address=own_dask_cluster.address)) as pool:
        assert pool.apply(buffer_of, (array,))[2] == float(array.sum())
        for node in own_dask_cluster.nodes.values():
            node.kill()
        own_dask_cluster.start_node("127.0.0.5")
        assert pool.options(retries=2).apply(buffer_of, (array,))[2] == float(array.sum())


def test_arguments_and_results_of_many_megabytes(chosen: Any) -> None:
    array = numpy.random.default_rng(1).random(2_000_000)
    with Pool(backend=chosen) as pool:
        assert (pool.apply(numpy.negative, (array,)) == -array).all()


def test_an_initializer_runs_once_in_each_worker(chosen: Any) -> None:
    with Pool(backend=chosen, initializer=seven) as pool:
        assert pool.map(doubled, range(10)) == [7 * number for number in range(10)]


def test_a_running_task_is_given_up_and_keeps_its_place(chosen: Any, tmp_path: Path) -> None:
    with Pool(1, backend=chosen) as pool:
        with pytest.raises(TaskTimeout):
            pool.options(timeout=0.05).apply(sleep_and_tell, (1.0, tmp_path / "slept"))
        # There is one place: this one begins when the other has ended by itself.
        assert pool.apply(note, (tmp_path / "slept",)) == 1 + 1


def test_what_waits_here_is_not_run_when_it_is_cancelled(chosen: Any, tmp_path: Path) -> None:
    gate = Gate(tmp_path, "gate")
    with procession.Executor(1, backend=chosen) as executor:
        held = executor.submit(through, gate, 1)
        gate.await_task()
        cancelled = [executor.submit(note, tmp_path / "runs") for _ in range(5)]
        assert all(future.cancel() for future in cancelled)
        gate.open()
        assert held.result() == 1
        assert executor.submit(note, tmp_path / "runs").result() == 1


def test_only_the_workers_that_were_named_are_used(dask_cluster: DaskCluster) -> None:
    chosen = backends.dask(address=dask_cluster.address, workers="127.0.0.4")
    with Pool(backend=chosen) as pool:
        assert {where.host for where in pool.map(call, [here] * 6, chunksize=1)} == {"127.0.0.4"}


def test_a_client_that_was_given_is_used_and_left_alone(dask_client: Any) -> None:
    with Pool(backend=backends.dask(client=dask_client)) as pool:
        assert pool.apply(double, (4,)) == 8
    assert dask_client.submit(double, 5, pure=False).result() == 10


def test_the_client_of_the_process_is_used_and_left_alone(dask_cluster: DaskCluster) -> None:
    with import_module("distributed").Client(dask_cluster.address) as client:
        with Pool(backend="dask") as pool:
            assert {where.host for where in pool.map(call, [here] * 6)} <= set(dask_cluster.NODES)
        assert client.status == "running"


def test_the_address_of_dasks_configuration_is_used(dask_cluster: DaskCluster) -> None:
    config = import_module("dask").config
    with config.set({"scheduler-address": dask_cluster.address}), Pool(backend="dask") as pool:
        assert pool.apply(here).host in dask_cluster.NODES


def test_a_client_that_is_closed_meanwhile_fails_all_tasks(
    dask_cluster: DaskCluster, tmp_path: Path
) -> None:
    gate = Gate(tmp_path, "gate")
    client = import_module("distributed").Client(dask_cluster.address, set_as_default=False)
    with Pool(backend=backends.dask(client=client)) as pool:
        held = [pool.apply_async(through, (gate, 1)) for _ in range(5)]
        gate.await_task()
        client.close()
        for one in held:
            with pytest.raises(EngineLost, match="connection"):
                one.get()
    gate.remove()  # how many have come there is up to Dask; its workers are needed by other tests


def test_nobody_there_is_said_so() -> None:
    with pytest.raises(ConnectionError, match="dask scheduler"):
        Pool(backend=backends.dask(address="tcp://127.0.0.2:9", timeout=0.5))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_workers": 0}, "at least 1"),
        ({"client": object(), "address": "tcp://127.0.0.2:9"}, "not both"),
        ({"threads_per_worker": 0}, "threads_per_worker must be at least 1"),
        ({"priority": "high"}, "priority must be a number, not 'high'"),
    ],
)
def test_arguments_that_can_not_be(options: dict[str, Any], words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        Pool(backend=backends.dask(**options))


def test_locks_of_ours_are_refused(chosen: Any) -> None:
    with Pool(backend=chosen) as pool, pytest.raises(ValueError, match=r"distributed\.Lock"):
        pool.apply(bool, (procession.Lock(),))


LOCAL = """
import os
from procession import Pool
from operator import neg

if __name__ == "__main__":
    pool = Pool(2, backend="dask")
    print(pool.map(neg, range(5)), flush=True)
    child = os.fork()
    if not child:
        del pool
        os._exit(0)
    os.waitpid(child, 0)
    {end}
"""


@pytest.mark.parametrize("end", ["pool.close(); pool.join()", "pool.terminate()", "pass"])
def test_a_cluster_of_this_machine_ends_with_its_program(run_script: Any, end: str) -> None:
    done = run_script(LOCAL.format(end=end))
    assert done.stdout == "[0, -1, -2, -3, -4]\n", done
    assert done.returncode == 0


def test_a_program_that_is_killed_leaves_no_cluster_behind(run_script: Any) -> None:
    killed = f"os.kill(os.getpid(), {int(signal.SIGKILL)})"
    done = run_script(LOCAL.format(end=killed))
    assert done.returncode == -signal.SIGKILL, (done, os.getpid())
