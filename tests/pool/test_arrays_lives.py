"""How long arrays live: as long as somebody looks at them, whoever has ended meanwhile."""

from __future__ import annotations

import gc
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import procession as mp
from procession.futures import Executor
from procession.pool import Pool
from tests.pool.arrays import Array, checked_copy, checksum, given_back, in_use, inverted, made
from tests.pool.gates import Gate, Log, error_of

SIZE = (4 << 20) + 12

SLACK = 4_000_000
"""Bytes for a pool that runs; less than one array."""

_kept: list[Array] = []


def _keep(array: Array) -> int:
    _kept.append(array)
    return os.getpid()


def _sum_of_kept(index: int) -> int:
    return checksum(_kept[index])


def _die(array: Array) -> None:
    _kept.append(array)
    os.kill(os.getpid(), signal.SIGKILL)


def _die_the_first_time(item: tuple[str, Array]) -> int:
    """Writes to what it got, and dies; the next time it tells what it got."""
    path, array = item
    found = checksum(array)
    array[:] = 0
    if not os.path.exists(path):
        Path(path).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return found


def _raise_the_first_time(item: tuple[str, Array]) -> int:
    """The same, and raises."""
    path, array = item
    found = checksum(array)
    array[:] = 0
    if not os.path.exists(path):
        Path(path).touch()
        raise ValueError("the first time")
    return found


def test_results_outlive_their_pool(gate: Gate) -> None:
    before = in_use()
    pool = Pool(2)
    results = [pool.apply(inverted, (made(SIZE, seed),)) for seed in range(3)]
    results += pool.map(inverted, [made(SIZE, seed) for seed in range(3, 6)])
    pool.terminate()
    pool.join()
    del pool
    gc.collect()
    for seed, result in enumerate(results):
        assert np.array_equal(result, ~made(SIZE, seed))
        np.add(result, 1, out=result)
    parts = [result[SIZE // 2 :][:10] for result in results]
    del result, results
    assert [part.tolist() for part in parts] == [
        (~made(SIZE, seed) + 1)[SIZE // 2 :][:10].tolist() for seed in range(6)
    ]
    del parts
    given_back(before, SLACK)


def test_a_worker_keeps_what_it_was_sent() -> None:
    with Pool(1) as pool:
        for seed in range(3):
            array = made(SIZE, seed)
            pool.apply(_keep, (array,))
            array[:] = 0
            del array
        gc.collect()
        sums = [pool.apply(_sum_of_kept, (seed,)) for seed in range(3)]
        assert sums == [checksum(made(SIZE, seed)) for seed in range(3)]
    pool.join()


def test_what_a_dead_worker_had_is_given_back() -> None:
    before = in_use()
    with Pool(2) as pool:
        for seed in range(4):
            pid = pool.apply(_keep, (made(SIZE, seed),))
            os.kill(pid, signal.SIGKILL)
        died = [pool.apply_async(_die, (made(SIZE, seed),)) for seed in range(4)]
        assert all(isinstance(error_of(one), mp.WorkerDied) for one in died)
        mapped = pool.options(errors="return").map(_die, [made(SIZE, seed) for seed in range(4)])
        assert all(isinstance(one, mp.WorkerDied) for one in mapped)
        del died, mapped
        given_back(before, SLACK)
    pool.join()
    given_back(before, 0)


def test_results_of_a_worker_that_died_since(pool: Pool) -> None:
    result = pool.apply(inverted, (made(SIZE),))
    for child in mp.active_children():
        child.kill()
    assert pool.map(abs, range(20)) == list(range(20))
    assert np.array_equal(result, ~made(SIZE))


@pytest.mark.parametrize("function", [_die_the_first_time, _raise_the_first_time])
@pytest.mark.parametrize("call", ["submit", "map", "map of chunks", "imap"])
def test_what_is_run_again_gets_what_was_sent(call: str, function: Any, tmp_path: Path) -> None:
    before = in_use()
    arrays = [made(SIZE, seed) for seed in range(4)]
    items = [(str(tmp_path / str(at)), array) for at, array in enumerate(arrays)]
    with Pool(2) as pool:
        again = pool.options(retries=5)
        if call == "submit":
            found = [one.get() for one in [again.apply_async(function, (item,)) for item in items]]
        elif call == "imap":
            found = list(again.imap(function, items))
        else:
            found = again.map(function, items, 1 if call == "map" else 4)
        assert found == [checksum(array) for array in arrays]
        del arrays, items
        given_back(before, SLACK)
    pool.join()


def _add(array: Array) -> int:
    array[0] += 1
    return int(array[0])


def _wait_and_add(item: tuple[Gate | None, Log, Array]) -> int:
    gate, log, array = item
    if gate is not None:
        log.write("waits")
        gate.pass_through()
    array[0] += 1
    return int(array[0])


def test_items_that_share_bytes_do_not_see_each_other_s_writes(pool: Pool) -> None:
    array = np.zeros(200_000, np.uint8)
    for chunk in (1, 3, None):
        assert pool.map(_add, [array[:] for _ in range(12)], chunk) == [1] * 12
    assert [one.get() for one in [pool.apply_async(_add, (array,)) for _ in range(9)]] == [1] * 9
    assert list(pool.imap(_add, (array for _ in range(9)))) == [1] * 9
    assert array[0] == 0


def test_items_of_a_piece_that_was_split(gate: Gate, log: Log) -> None:
    # The first one is stuck: those behind it in its piece are taken back and given to the other.
    array = np.zeros(200_000, np.uint8)
    with Pool(2) as pool:
        items = [(gate if at == 0 else None, log, array[:]) for at in range(8)]
        stream = pool.options(ordered=False).imap(_wait_and_add, items, 8)
        assert [next(stream) for _ in range(7)] == [1] * 7
        gate.open()
        assert next(stream) == 1
        assert log.lines() == ["waits"]
    pool.join()


def test_the_parent_may_write_at_once(gate: Gate) -> None:
    array = made(SIZE, 9)
    with Pool(1) as pool:
        held = pool.apply_async(gate.pass_through)
        single = pool.apply_async(checked_copy, (array, checksum(array)))
        mapped = pool.starmap_async(checked_copy, [(array, checksum(array))] * 2)
        array[:] = 0
        gate.open()
        held.get()
        assert single.get()[0] == mapped.get()[1][0] == checksum(made(SIZE, 9))
    pool.join()


def test_what_is_cancelled_is_given_back(gate: Gate) -> None:
    before = in_use()
    with Pool(1) as pool:
        held = pool.apply_async(gate.pass_through)
        waiting = [pool.apply_async(_add, (made(SIZE, seed),)) for seed in range(4)]
        mapped = pool.map_async(_add, [made(SIZE, seed) for seed in range(4)])
        stream = pool.imap(_add, [made(SIZE, seed) for seed in range(4)])
        assert all(one.cancel() for one in waiting)
        assert mapped.cancel()
        stream.close()
        given_back(before, SLACK)
        gate.open()
        held.get()
        assert pool.apply(_add, (np.zeros(SIZE, np.uint8),)) == 1
    pool.join()


def test_results_that_nobody_asks_for_are_given_back() -> None:
    before = in_use()
    with Pool(2) as pool:
        results = [pool.apply_async(inverted, (made(SIZE, seed),)) for seed in range(4)]
        mapped = pool.map_async(inverted, [made(SIZE, seed) for seed in range(4)])
        for one in (*results, mapped):
            one.wait()
        del results, mapped, one
        given_back(before, SLACK)
    pool.join()


def test_what_an_executor_has_at_its_end_is_given_back() -> None:
    before = in_use()
    executor = Executor(2)
    futures = [executor.submit(inverted, made(SIZE, seed)) for seed in range(6)]
    executor.kill_workers()
    executor.shutdown()
    del futures
    given_back(before, 0)


def test_arguments_are_given_back_when_they_are_answered_and_not_when_somebody_asks() -> None:
    before = in_use()
    with Pool(1) as pool:
        results = [pool.apply_async(len, (made(SIZE, seed),)) for seed in range(4)]
        results[-1].wait()
        given_back(before, SLACK)
        assert [result.get() for result in results] == [SIZE] * 4
    pool.join()


def test_a_dead_task_s_arguments_in_words() -> None:
    before = in_use()
    with Pool(1) as pool:
        error = error_of(pool.apply_async(_die_with, (made(SIZE), 7, b"x" * 200_000)))
        assert isinstance(error, mp.WorkerDied)
        assert "_die_with(" in str(error)
        assert ", 7, " in str(error)
        given_back(before, SLACK)
    pool.join()


def _die_with(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
