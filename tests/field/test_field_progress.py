"""A bar beside a map: it is right, it never holds up the call, and it ends with it."""

from __future__ import annotations

import io
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import rich.console
import rich.progress
import tqdm

from tests.field.doors import Door, Pool, mp, square


def _odd_ones_fail(x: int) -> int:
    if x % 2:
        raise LookupError(x)
    return x


def _die_once(path: str) -> str:
    try:
        Path(path).touch(exist_ok=False)
    except FileExistsError:
        return path
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def _spin() -> None:
    while True:
        pass


def _bar(stream: Any, total: int) -> Any:
    """tqdm as a program has it, without the thread that it starts for its first bar."""
    kind = type("tqdm", (tqdm.tqdm,), {"monitor_interval": 0, "_lock": threading.RLock()})
    return kind(total=total, file=stream, mininterval=0)


def test_the_last_state_is_that_all_is_done(door: type[Door]) -> None:
    states: list[Any] = []
    with door(2) as pool:
        assert len(pool.map(square, range(1000), progress=states.append)) == 1000
    last = states[-1]
    assert (last.done, last.total, last.failed, last.retried) == (1000, 1000, 0, 0)
    assert [state.done for state in states] == sorted(state.done for state in states)


def test_what_failed_is_counted(door: type[Door]) -> None:
    states: list[Any] = []
    with door(2) as pool:
        pool.map(_odd_ones_fail, range(20), progress=states.append, errors="return")
    assert (states[-1].done, states[-1].failed) == (20, 10)


def test_a_call_that_fails_ends_its_bar(door: type[Door]) -> None:
    states: list[Any] = []
    with door(2) as pool:
        with pytest.raises(LookupError):
            pool.map(_odd_ones_fail, range(20), progress=states.append)
        assert not [t for t in threading.enumerate() if t.name == "procession-progress"]


def test_what_was_run_again_is_counted_once_as_done(door: type[Door], tmp_path: Path) -> None:
    states: list[Any] = []
    with door(2) as pool:
        items = [str(tmp_path / str(x)) for x in range(5)]
        assert pool.map(_die_once, items, progress=states.append, retries=1) == items
    assert (states[-1].done, states[-1].retried, states[-1].failed) == (5, 5, 0)


def test_a_worker_that_dies_leaves_no_bar_behind(door: type[Door]) -> None:
    stream = io.StringIO()
    with door(2) as pool, _bar(stream, 1) as bar:
        with pytest.raises(mp.WorkerDied):
            pool.map(os._exit, [3], progress=bar)
        assert pool.map(square, [7], progress=bar) == [49]
    assert bar.n >= 1


def test_streams_have_one_too(door: type[Door]) -> None:
    stream = io.StringIO()
    with door(2) as pool, _bar(stream, 300) as bar:
        assert list(pool.stream(square, (x for x in range(300)), progress=bar)) == [
            x * x for x in range(300)
        ]
        assert bar.n == 300


def test_a_stream_that_is_left_ends_its_bar(door: type[Door]) -> None:
    states: list[Any] = []
    with door(2) as pool:
        results = pool.stream(square, range(10_000), progress=states.append)
        next(results)
        del results
        bars = [t for t in threading.enumerate() if t.name == "procession-progress"]
        for thread in bars:
            thread.join()
    assert states[-1].done < 10_000


def test_a_function_that_raises_is_reported_and_costs_nothing(
    door: type[Door], monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: reported.append(args.exc_type))

    def fail(state: object) -> None:
        raise ZeroDivisionError

    with door(2) as pool:
        assert pool.map(square, range(100), progress=fail) == [x * x for x in range(100)]
    assert reported == [ZeroDivisionError]


def test_a_function_may_use_the_pool_that_it_watches() -> None:
    found: list[int] = []
    with Pool(2) as pool:

        def ask(state: object) -> None:
            found.append(pool.apply(square, (7,)))

        assert pool.options(progress=ask).map(square, range(100)) == [x * x for x in range(100)]
    assert found[-1] == 49


def test_a_function_may_end_the_pool_that_it_watches() -> None:
    with Pool(2) as pool, pytest.raises(mp.PoolTerminated):
        pool.options(progress=lambda state: pool.terminate()).map(_call, [_spin] * 4)
    pool.join()


def _call(function: Any) -> Any:
    return function()


def test_nested_maps_have_bars_of_their_own() -> None:
    console = rich.console.Console(file=io.StringIO(), force_terminal=True, width=100)
    with (
        Pool(2) as pool,
        rich.progress.Progress(console=console, auto_refresh=False) as shown,
    ):
        outer = pool.options(progress=shown).imap(square, range(3))
        for _ in outer:
            assert pool.options(progress=shown).map(square, range(10)) == [x * x for x in range(10)]
        assert sorted(task.completed for task in shown.tasks) == [3, 10, 10, 10]


def test_a_wrong_kind_is_refused(door: type[Door]) -> None:
    with pytest.raises(TypeError, match="progress must be"):
        door(1, progress=3)
