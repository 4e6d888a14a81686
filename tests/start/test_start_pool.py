"""A pool is the same pool, however its workers start."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import procession
from tests.start import targets


@pytest.fixture
def pool(ctx: Any) -> Iterator[Any]:
    """A pool of two."""
    with ctx.Pool(2) as made:
        yield made
    made.join()


def test_calls_maps_and_streams(pool: Any) -> None:
    squares = [number * number for number in range(50)]
    assert pool.apply(targets.square, (7,)) == 49
    assert pool.map(targets.square, range(50)) == squares
    assert pool.starmap(pow, [(2, 3), (3, 2)]) == [8, 9]
    assert [*pool.imap(targets.square, range(50))] == squares
    assert {*pool.imap_unordered(targets.square, range(50), chunksize=7)} == {*squares}
    assert pool.apply_async(targets.square, (8,)).get() == 64
    offset = 5
    assert pool.map(lambda number: number + offset, range(3)) == [5, 6, 7]
    assert pool.apply("text".upper) == "TEXT"
    with pytest.raises(ValueError, match="one of ours") as caught:
        pool.apply(targets.raise_value_error, ("one of ours",))
    assert "raise_value_error" in str(caught.value.__cause__)


def test_a_death_fails_one_task_only(pool: Any) -> None:
    before = {*pool.map(targets.pid_of, range(20), chunksize=1)}
    results = [pool.apply_async(targets.square, (number,)) for number in range(10)]
    dying = pool.apply_async(targets.die, (signal.SIGKILL,))
    results += [pool.apply_async(targets.square, (number,)) for number in range(10)]
    with pytest.raises(procession.WorkerDied, match="SIGKILL"):
        dying.get()
    assert [result.get() for result in results] == [n * n for n in range(10)] * 2
    assert {*pool.map(targets.pid_of, range(20), chunksize=1)} - before <= {
        child.pid for child in procession.active_children()
    }


def test_initializers(ctx: Any) -> None:
    with ctx.Pool(1, targets.remember_pair, ("colour", "red")) as pool:
        assert pool.apply(targets.recall, ("colour",)) == "red"
    pool.join()
    colour = "blue"
    with ctx.Pool(1, lambda: targets.remember(colour=colour)) as pool:
        assert pool.apply(targets.recall, ("colour",)) == "blue"
    pool.join()


def test_an_initializer_that_raises_breaks_the_pool(ctx: Any) -> None:
    with ctx.Pool(1, targets.raise_value_error, ("not today",)) as pool:
        with pytest.raises(procession.InitializerFailed) as caught:
            pool.apply(targets.square, (1,))
        assert "not today" in str(caught.value.__cause__)
    pool.join()


def test_workers_are_replaced_after_so_many_tasks(ctx: Any) -> None:
    with ctx.Pool(1, maxtasksperchild=2) as pool:
        pids = [pool.apply(targets.pid_of) for _ in range(4)]
    pool.join()
    assert pids[0] == pids[1] != pids[2] == pids[3]


def test_a_pool_in_a_worker(ctx: Any, method: str) -> None:
    with ctx.Pool(1) as pool:
        assert pool.apply(targets.pool_in_pool, (method,)) == [1, 4, 9]
    pool.join()


def test_surroundings(ctx: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("START_GONE", "here")
    usable = sorted(os.sched_getaffinity(0))
    with ctx.Pool(
        2,
        env={"START_NEW": "new", "START_GONE": None},
        cwd=tmp_path,
        nice=3,
        cpus={usable[0]},
        threads=2,
        seed=7,
    ) as pool:
        told = pool.apply(
            lambda: (
                os.environ.get("START_NEW"),
                os.environ.get("START_GONE"),
                os.environ["OMP_NUM_THREADS"],
                os.getcwd(),
                os.sched_getaffinity(0),
                os.nice(0),
            )
        )
        assert told == ("new", None, "2", str(tmp_path), {usable[0]}, os.nice(0) + 3)
    pool.join()
    assert "START_NEW" not in os.environ


def test_a_seed_gives_the_same_numbers_again(ctx: Any) -> None:
    def numbers() -> list[float]:
        with ctx.Pool(1, seed=7) as pool:
            drawn: list[float] = pool.apply(lambda: [random.random() for _ in range(3)])
        pool.join()
        return drawn

    assert numbers() == numbers()


@pytest.mark.parametrize("name", ["spawn", "forkserver"])
def test_variables_are_there_before_anything_is_imported(name: str, tmp_path: Path) -> None:
    """What a library reads when it is loaded; under fork it is loaded already."""
    (tmp_path / "reads_when_loaded.py").write_text(
        "import os\nFOUND = os.environ.get('START_EARLY')\n"
    )

    def load() -> Any:
        import importlib
        import sys

        sys.path.append(str(tmp_path))
        return importlib.import_module("reads_when_loaded").FOUND

    with procession.get_context(name).Pool(1, load, env={"START_EARLY": "1"}) as pool:
        assert pool.apply(load) == "1"
    pool.join()
