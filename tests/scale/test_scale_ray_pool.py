"""Pools and executors on Ray: deaths of workers and nodes in the middle of a call, shared data."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import procession
from procession import EngineLost, TaskTimeout, WorkerDied
from procession.futures import Executor
from procession.pool import Pool
from tests.scale import rays

ray = pytest.importorskip("ray")
np = pytest.importorskip("numpy")

pytestmark = [
    pytest.mark.scale,
    pytest.mark.may_leak(reason="Ray's threads, connections and idle workers are its own affair"),
    pytest.mark.watchdog(240),
]

SECOND, THIRD = "127.0.0.3", "127.0.0.4"


@pytest.fixture(scope="module")
def nodes() -> Iterator[rays.Cluster]:
    rays.end_shared()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in rays.SETTINGS.items():
            patch.setenv(name, value)
        with rays.cluster(SECOND) as found:
            yield found


@pytest.fixture
def pool(nodes: rays.Cluster) -> Iterator[Pool]:
    with Pool(backend="ray", backend_options={"address": nodes.address}) as found:
        yield found
    found.join()
    assert not ray.is_initialized()


def square(value: int) -> int:
    return value * value


def where() -> str:
    return str(ray.util.get_node_ip_address())


def tell_and_wait(path: str) -> str:
    """Say where this try runs, in a file of its own; end once told to."""
    unfinished = Path(f"{path}.{os.getpid()}.part")
    unfinished.write_text(where())
    unfinished.rename(f"{path}.{os.getpid()}.begun")
    while not Path(f"{path}.go").exists():
        time.sleep(0.01)
    return path


def begun(path: Path) -> tuple[int, str]:
    """Wait until a try of this task says where it runs."""
    while not (found := list(path.parent.glob(f"{path.name}.*.begun"))):
        time.sleep(0.01)
    return int(found[0].name.split(".")[-2]), found[0].read_text()


def die_once(path: str) -> str:
    """Kills its worker, the first time."""
    try:
        Path(path).touch(exist_ok=False)
    except FileExistsError:
        return path
    os.kill(os.getpid(), signal.SIGKILL)
    return ""


def look_at(array: Any) -> tuple[bool, bool, float]:
    return array.flags.writeable, array.flags.owndata, float(array.sum())


def test_a_node_dies_in_the_middle_of_a_map(
    nodes: rays.Cluster, pool: Pool, tmp_path: Path
) -> None:
    nodes.start_node(THIRD, 1)
    while ray.cluster_resources()["CPU"] != 4:
        time.sleep(0.1)
    with Pool(4, backend="ray") as wider:
        paths = [tmp_path / str(number) for number in range(8)]
        result = wider.options(retries=1).map_async(tell_and_wait, map(str, paths), 1)
        places = {path: begun(path) for path in paths[:4]}
        assert THIRD in {node for _, node in places.values()}
        nodes.kill_node(THIRD)
        for path in paths:
            Path(f"{path}.go").touch()
        assert result.get(rays.PATIENCE) == [str(path) for path in paths]
    wider.join()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])  # Ray itself sends both
def test_who_may_not_run_again_has_the_node_and_the_process(
    number: signal.Signals, pool: Pool, tmp_path: Path
) -> None:
    paths = [tmp_path / str(number) for number in range(3)]
    results = [pool.apply_async(tell_and_wait, (str(path),)) for path in paths]
    pid, node = begun(paths[0])
    os.kill(pid, number)
    with pytest.raises(WorkerDied) as caught:
        results[0].get(rays.PATIENCE)
    assert (caught.value.pid, caught.value.node) == (pid, node)
    for path in paths:
        Path(f"{path}.go").touch()
    assert [result.get(rays.PATIENCE) for result in results[1:]] == [str(p) for p in paths[1:]]


def test_workers_that_die_are_replaced_and_their_tasks_tried_again(
    pool: Pool, tmp_path: Path
) -> None:
    paths = [str(tmp_path / str(number)) for number in range(6)]
    assert pool.options(retries=1).map(die_once, paths, 1) == paths


def test_a_task_that_is_too_late_makes_room_for_others(pool: Pool, tmp_path: Path) -> None:
    path = tmp_path / "late"
    pool.map(square, range(3), 1)  # a worker is there
    with pytest.raises(TaskTimeout):
        pool.options(timeout=1.0).apply(tell_and_wait, (str(path),))
    for late in tmp_path.glob("late.*.begun"):
        rays.gone(int(late.name.split(".")[-2]))
    assert pool.map(square, range(10)) == [value * value for value in range(10)]


def test_cancel_ends_a_running_task(nodes: rays.Cluster, tmp_path: Path) -> None:
    options = {"address": nodes.address}
    with Executor(backend="ray", backend_options=options) as executor:
        future = executor.submit(tell_and_wait, str(tmp_path / "task"))
        pid, _ = begun(tmp_path / "task")
        assert future.cancel()
        rays.gone(pid)
        assert executor.submit(square, 5).result(rays.PATIENCE) == 25


def test_what_is_shared_is_one_read_only_memory_a_node(pool: Pool) -> None:
    array = procession.share(np.ones(1_000_000))
    assert set(pool.map(look_at, [array] * 6)) == {(False, False, 1e6)}


def test_many_tiny_items_are_right_and_need_few_tasks(pool: Pool) -> None:
    assert pool.map(square, range(100_000)) == [value * value for value in range(100_000)]
    assert list(pool.imap(square, range(20_000))) == [value * value for value in range(20_000)]


def test_ray_in_a_task(pool: Pool) -> None:
    assert set(pool.map(where_by_ray, range(3))) <= {"127.0.0.2", SECOND}


def where_by_ray(number: int) -> str:
    """A task of Ray's own, asked for by a task of ours."""
    found: str = ray.get(ray.remote(num_cpus=0)(where).remote())
    return found


def test_ray_is_shut_down_under_a_pool(nodes: rays.Cluster, tmp_path: Path) -> None:
    with Pool(backend="ray", backend_options={"address": nodes.address}) as pool:
        result = pool.apply_async(tell_and_wait, (str(tmp_path / "task"),))
        begun(tmp_path / "task")
        ray.shutdown()
        with pytest.raises(EngineLost, match="shut down"):
            result.get(rays.PATIENCE)
    pool.join()
