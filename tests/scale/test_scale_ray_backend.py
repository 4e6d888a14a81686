"""Ray behind the seam: what is sent, stopped, broadcast, lost; on a head and a second node."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

import pytest

from procession._backends.abilities import Ability
from procession._backends.ray import Lost, RayBackend
from procession._backends.ray_losses import loss_of
from procession._backends.seam import Loss
from tests.scale import rays

ray = pytest.importorskip("ray")
np = pytest.importorskip("numpy")

pytestmark = [
    pytest.mark.scale,
    pytest.mark.may_leak(reason="Ray's threads, connections and idle workers are its own affair"),
    pytest.mark.watchdog(180),
]

SECOND, THIRD = "127.0.0.3", "127.0.0.4"


def run(request: tuple[Any, ...], *values: Any) -> Any:
    """What the generic part has in its place: calls what was sent."""
    function, *arguments = request
    return function(*arguments, *values)


def square(value: int) -> int:
    return value * value


def place() -> tuple[int, str]:
    return os.getpid(), str(ray.util.get_node_ip_address())


def tell_and_wait(path: str, name: str = "") -> str:
    """Say where it runs, in a file that is there once it is complete; then end when told to."""
    unfinished = Path(f"{path}.part")
    unfinished.write_text(f"{os.getpid()} {ray.util.get_node_ip_address()}")
    unfinished.rename(path)
    while not Path(f"{path}.go").exists():
        time.sleep(0.01)
    return name


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def look_at(array: Any) -> tuple[bool, bool, float]:
    return array.flags.writeable, array.flags.owndata, float(array.sum())


def begun(path: Path) -> tuple[int, str]:
    """Wait until a task says where it runs."""
    while not path.exists():
        time.sleep(0.01)
    pid, node = path.read_text().split()
    return int(pid), node


def let_go(path: Path) -> None:
    Path(f"{path}.go").touch()


def lost(backend: RayBackend, future: Future[Any]) -> Loss:
    """What became of it."""
    error = future.exception(rays.PATIENCE)
    assert error is not None
    loss = backend.loss(error)
    assert loss is not None
    return loss


@pytest.fixture(scope="module")
def environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in rays.SETTINGS.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def nodes(environment: None) -> Iterator[rays.Cluster]:
    rays.end_shared()
    with rays.cluster(SECOND) as found:
        yield found


@pytest.fixture
def backend(nodes: rays.Cluster) -> Iterator[RayBackend]:
    found = RayBackend(address=nodes.address)
    yield found
    found.close(kill=True)
    assert not ray.is_initialized()


def test_what_is_sent_comes_back(backend: RayBackend) -> None:
    assert backend.workers() == 3
    futures = [backend.submit(run, (square, value), ()) for value in range(50)]
    assert [future.result() for future in futures] == [value * value for value in range(50)]


def test_all_nodes_are_used(backend: RayBackend, tmp_path: Path) -> None:
    paths = [tmp_path / str(number) for number in range(3)]
    futures = [backend.submit(run, (tell_and_wait, str(path)), ()) for path in paths]
    hosts = sorted(begun(path)[1] for path in paths)
    assert hosts == ["127.0.0.2", "127.0.0.2", SECOND]
    for path in paths:
        let_go(path)
    assert wait(futures).not_done == set()


def test_a_death_tells_the_process_and_its_node(backend: RayBackend, tmp_path: Path) -> None:
    paths = [tmp_path / str(number) for number in range(3)]
    futures = [backend.submit(run, (tell_and_wait, str(path), path.name), ()) for path in paths]
    places = [begun(path) for path in paths]
    os.kill(places[1][0], signal.SIGKILL)
    loss = lost(backend, futures[1])
    assert (loss.pid, loss.node) == places[1]
    assert "its worker process died" in loss.cause
    assert not loss.is_engine
    for path in paths:
        let_go(path)
    assert [futures[0].result(), futures[2].result()] == ["0", "2"]


def test_who_dies_at_once_is_known_as_well(backend: RayBackend) -> None:
    for _ in range(5):
        loss = lost(backend, backend.submit(run, (die,), ()))
        assert loss.pid is not None
        assert loss.node in {"127.0.0.2", SECOND}


def test_a_running_task_is_stopped_and_its_place_is_free(
    backend: RayBackend, tmp_path: Path
) -> None:
    paths = [tmp_path / str(number) for number in range(3)]
    futures = [backend.submit(run, (tell_and_wait, str(path)), ()) for path in paths]
    places = [begun(path) for path in paths]
    queued = backend.submit(run, (square, 7), ())
    backend.stop(futures[0])
    assert "ray.cancel" in lost(backend, futures[0]).cause
    rays.gone(places[0][0])
    assert queued.result(rays.PATIENCE) == 49
    assert not futures[1].done()
    for path in paths[1:]:
        let_go(path)
    assert wait(futures).not_done == set()


def test_a_task_is_stopped_that_has_not_begun(backend: RayBackend, tmp_path: Path) -> None:
    paths = [tmp_path / str(number) for number in range(3)]
    futures = [backend.submit(run, (tell_and_wait, str(path)), ()) for path in paths]
    for path in paths:
        begun(path)
    never = tmp_path / "never"
    queued = backend.submit(run, (tell_and_wait, str(never)), ())
    backend.stop(queued)
    assert "ray.cancel" in lost(backend, queued).cause
    for path in paths:
        let_go(path)
    assert [future.result() for future in futures] == [""] * 3
    assert not never.exists()


def test_stopping_what_is_done_hits_nobody(backend: RayBackend) -> None:
    future = backend.submit(run, (square, 3), ())
    assert future.result() == 9
    assert backend.stop(future)
    assert backend.submit(run, (square, 4), ()).result() == 16


def test_what_is_put_is_a_read_only_view_of_the_store(backend: RayBackend) -> None:
    array = np.ones(1_000_000)
    handle = backend.put(array)
    seen = [backend.submit(run, (look_at,), (handle,)) for _ in range(6)]
    assert {future.result() for future in seen} == {(False, False, 1e6)}


def test_a_note_is_gone_with_its_pool(nodes: rays.Cluster, backend: RayBackend) -> None:
    from ray.experimental.internal_kv import _internal_kv_list

    other = RayBackend()
    other.submit(run, (square, 3), ()).result()
    backend.submit(run, (square, 3), ()).result()
    before = len(_internal_kv_list(b"", namespace=b"procession"))
    other.close(kill=False)
    assert len(_internal_kv_list(b"", namespace=b"procession")) == before - 1


def test_the_last_of_ours_ends_the_connection(nodes: rays.Cluster) -> None:
    first = RayBackend(address=nodes.address)
    second = RayBackend(address="auto")
    first.close(kill=False)
    assert second.submit(run, (square, 5), ()).result() == 25
    second.close(kill=False)
    assert not ray.is_initialized()


def test_a_connection_that_is_not_ours_is_left_alone(nodes: rays.Cluster) -> None:
    ray.init(address=nodes.address)
    try:
        backend = RayBackend()
        assert backend.submit(run, (square, 6), ()).result() == 36
        with pytest.raises(ValueError, match="can not use that at 127.0.0.9:1"):
            RayBackend(address="127.0.0.9:1")
        backend.close(kill=True)
        assert ray.is_initialized()
    finally:
        ray.shutdown()


def test_what_ends_by_itself_meanwhile_is_not_killed(
    backend: RayBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray ends this process if a result comes just when its task is cancelled."""
    monkeypatch.setattr("procession._backends.ray.MOMENT", 60.0)
    path = tmp_path / "task"
    future = backend.submit(run, (tell_and_wait, str(path), "ended"), ())
    begun(path)
    assert not backend.stop(future)
    Path(f"{path}.go").touch()
    assert future.result(rays.PATIENCE) == "ended"


def test_ray_address_is_heeded(nodes: rays.Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", nodes.address)
    backend = RayBackend(max_workers=2)
    assert backend.workers() == 2
    assert ray.get_runtime_context().gcs_address == nodes.address
    backend.close(kill=True)


def test_a_shutdown_under_the_pool_is_an_answer(nodes: rays.Cluster, tmp_path: Path) -> None:
    backend = RayBackend(address=nodes.address)
    path = tmp_path / "task"
    future = backend.submit(run, (tell_and_wait, str(path)), ())
    begun(path)
    ray.shutdown()
    loss = lost(backend, future)
    assert loss.is_engine
    assert "shut down" in loss.cause
    with pytest.raises(RuntimeError, match="shut down"):
        backend.submit(run, (square, 3), ())
    assert not ray.is_initialized()
    backend.close(kill=True)


def test_what_is_lost_with_the_connection_is_no_death_of_a_task(
    nodes: rays.Cluster, tmp_path: Path
) -> None:
    """Whichever is noticed first."""
    backend = RayBackend(address=nodes.address)
    path = tmp_path / "task"
    future = backend.submit(run, (tell_and_wait, str(path)), ())
    begun(path)
    ray.shutdown()
    backend._attendant.news.put((future, 0, ray.exceptions.WorkerCrashedError()))
    assert lost(backend, future).is_engine
    backend.close(kill=True)


def test_resources_bound_the_number_of_workers(backend: RayBackend) -> None:
    half = RayBackend(num_cpus=0.5)
    assert half.workers() == 6
    assert half.submit(run, (square, 8), ()).result() == 64
    half.close(kill=False)
    nothing = RayBackend(resources={"unobtainium": 1})
    assert nothing.workers() == 1  # a cluster may grow
    nothing.close(kill=False)


def test_an_environment_is_made_for_the_tasks(backend: RayBackend) -> None:
    other = RayBackend(runtime_env={"env_vars": {"PROCESSION_COLOUR": "green"}})
    assert other.submit(run, (os.getenv, "PROCESSION_COLOUR"), ()).result() == "green"
    other.close(kill=False)


def test_an_environment_that_can_not_be_made_breaks_the_engine(backend: RayBackend) -> None:
    other = RayBackend(runtime_env={"working_dir": "file:///does/not/exist.zip"})
    loss = lost(other, other.submit(run, (square, 3), ()))
    assert loss.is_engine
    assert "RuntimeEnv" in loss.cause or "runtime" in loss.cause
    other.close(kill=True)


def test_nodes_without_procession_are_told_of(backend: RayBackend, tmp_path: Path) -> None:
    hidden = tmp_path / "procession"
    hidden.mkdir()
    (hidden / "__init__.py").write_text("raise ImportError('there is no procession here')\n")
    other = RayBackend(runtime_env={"env_vars": {"PYTHONPATH": str(tmp_path)}})
    loss = lost(other, other.submit(run, (square, 3), ()))
    assert loss.is_engine
    assert "install the same version on all nodes" in loss.cause
    other.close(kill=True)


def test_a_node_dies_and_the_others_go_on(
    nodes: rays.Cluster, backend: RayBackend, tmp_path: Path
) -> None:
    nodes.start_node(THIRD, 1)
    while backend.workers() != 4:
        time.sleep(0.1)
    paths = [tmp_path / str(number) for number in range(4)]
    futures = {
        path: backend.submit(run, (tell_and_wait, str(path), path.name), ()) for path in paths
    }
    places = {path: begun(path) for path in paths}
    nodes.kill_node(THIRD)
    [victim] = [path for path in paths if places[path][1] == THIRD]
    loss = lost(backend, futures[victim])
    assert (loss.pid, loss.node) == places[victim]
    assert not loss.is_engine
    others = [path for path in paths if path != victim]
    for path in others:
        let_go(path)
    names = [futures[path].result(rays.PATIENCE) for path in others]
    assert names == [path.name for path in others]
    assert backend.submit(run, (square, 9), ()).result(rays.PATIENCE) == 81
    while backend.workers() != 3:  # the head misses its signs of life
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("error", "words", "is_engine"),
    [
        (ray.exceptions.WorkerCrashedError(), "its worker process died", False),
        (ray.exceptions.NodeDiedError("10.0.0.7 is dead"), "its node died", False),
        (ray.exceptions.OutOfMemoryError("95% used"), "short of memory", False),
        (ray.exceptions.TaskCancelledError(), "ray.cancel", False),
        (ray.exceptions.OwnerDiedError("ab" * 28, "", "stack"), "lost with a node", False),
        (ray.exceptions.LocalRayletDiedError("raylet"), "nothing any more", True),
        (ray.exceptions.RaySystemError("system"), "nothing any more", True),
        (ray.exceptions.RuntimeEnvSetupError("no pip"), "no pip", True),
        (
            ray.exceptions.RaySystemError("No module named 'x'", "ModuleNotFoundError: x"),
            "x",
            False,
        ),
        (ray.exceptions.ObjectStoreFullError("full"), "ObjectStoreFullError", False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_what_an_error_of_ray_means(error: Exception, words: str, is_engine: bool) -> None:
    loss = loss_of(error)
    assert words in loss.cause
    assert loss.is_engine is is_engine


def test_an_error_that_is_not_ours_is_no_loss(backend: RayBackend) -> None:
    assert backend.loss(ValueError()) is None
    assert backend.loss(Lost(Loss("gone"))) == Loss("gone")


def test_what_can_not_be_is_told_at_once() -> None:
    with pytest.raises(ValueError, match="max_workers must be at least 1"):
        RayBackend(max_workers=0)
    with pytest.raises(ValueError, match="num_cpus must be 0 or more"):
        RayBackend(num_cpus=-1)
    with pytest.raises(ValueError, match="need max_workers="):
        RayBackend(num_cpus=0)
    assert not ray.is_initialized()


def test_it_says_what_it_can_do() -> None:
    assert {Ability.STOP, Ability.SURVIVES, Ability.PLACE, Ability.BROADCAST} < RayBackend.abilities
    assert Ability.BY_REFERENCE not in RayBackend.abilities
