"""A killer kills a random worker every 20 ms: every task has its one outcome, and none is lost."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from procession._core import validate
from procession.errors.pool import WorkerDied
from procession.pool import Pool
from tests.pool.gates import Log
from tests.pool.killer import Killer

TASKS = 10_000


def _work(x: int) -> int:
    """A task of about a third of a millisecond."""
    until = time.perf_counter_ns() + 300_000
    while time.perf_counter_ns() < until:
        pass
    return x + 1


def _noted(log: Log, x: int) -> int:
    log.write(x)
    return _work(x)


def _count(outcomes: Iterator[Any]) -> tuple[int, int]:
    """How many outcomes are values (checked), and how many deaths."""
    values = deaths = 0
    for index, outcome in enumerate(outcomes):
        if isinstance(outcome, WorkerDied):
            deaths += 1
        else:
            assert outcome == index + 1
            values += 1
    return values, deaths


def _outcome(get: Callable[[], Any]) -> Any:
    try:
        return get()
    except WorkerDied as error:
        return error


def test_ten_thousand_tasks_under_a_killer(log: Log) -> None:
    pool = Pool(4)
    with Killer(pool, seed=1) as killer:
        results = [pool.apply_async(_noted, (log, x)) for x in range(TASKS)]
        values, deaths = _count(_outcome(result.get) for result in results)
    assert killer.killed >= 10
    assert values + deaths == TASKS
    assert deaths <= killer.killed
    runs = log.lines()
    assert len(runs) == len(set(runs))  # none was run twice
    assert len(runs) >= values
    pool.close()
    pool.join()
    assert validate() is None


def test_imap_under_a_killer() -> None:
    pool = Pool(4)
    with Killer(pool, seed=2) as killer:
        results = pool.imap(_work, range(3000))
        values, deaths = _count(_outcome(results.next) for _ in range(3000))
        with pytest.raises(StopIteration):
            next(results)
    assert values + deaths == 3000
    assert deaths <= killer.killed
    pool.close()
    pool.join()


def test_maps_under_a_killer() -> None:
    pool = Pool(4)
    whole = 0
    items: Any = []
    with Killer(pool, seed=3):
        while whole < 10 or not items:
            try:
                assert pool.map(_work, range(100)) == list(range(1, 101))
                whole += 1
            except WorkerDied as error:
                items.append(error.item)
    assert set(items) <= set(range(100))
    pool.close()
    pool.join()


def test_close_under_a_killer() -> None:
    pool = Pool(4)
    with Killer(pool, seed=4):
        results = [pool.apply_async(_work, (x,)) for x in range(1000)]
        streams = pool.imap_unordered(_work, range(1000), 3)
        pool.close()
        pool.join()
    assert sum(_count(_outcome(result.get) for result in results)) == 1000
    assert len([_outcome(streams.next) for _ in range(1000)]) == 1000
    with pytest.raises(StopIteration):
        next(streams)


def test_terminate_under_a_killer() -> None:
    for seed in range(10):
        pool = Pool(3)
        with Killer(pool, seed, pause=0.001):
            results = [pool.apply_async(_work, (x,)) for x in range(200)]
            _outcome(results[20].get)
            pool.terminate()
            pool.join()
        assert all(result.ready() for result in results)


@pytest.mark.chaos
@pytest.mark.watchdog(1200)
@pytest.mark.parametrize("seed", range(8))
def test_all_kinds_of_calls_under_a_killer(seed: int) -> None:
    rounds = {"short": 60, "long": 600}[os.environ.get("PROCESSION_CHAOS", "short")]
    choice = random.Random(seed)
    pool = Pool(4, maxtasksperchild=choice.choice([None, 7, 100]))
    with Killer(pool, seed, pause=choice.choice([0.01, 0.02, 0.05])) as killer:
        for _ in range(rounds):
            count = choice.randrange(1, 400)
            data = bytes(choice.choice([0, 100, 40_000]))
            kind = choice.choice(["apply", "map", "imap", "imap_unordered"])
            if kind == "apply":
                pending = [pool.apply_async(_echo, ((x, data),)) for x in range(count)]
                got = [_outcome(result.get) for result in pending]
            elif kind == "map":
                result = pool.map_async(_echo, [(x, data) for x in range(count)])
                whole = _outcome(result.get)
                got = [whole] * count if isinstance(whole, WorkerDied) else whole
            else:
                chunksize = choice.randrange(1, 10)
                items: Any = ((x, data) for x in range(count))
                stream = getattr(pool, kind)(_echo, items, chunksize)
                got = [_outcome(stream.next) for _ in range(count)]
                with pytest.raises(StopIteration):
                    next(stream)
            values = [value for value in got if not isinstance(value, WorkerDied)]
            assert len(got) == count
            assert all(content == data for _, content in values)
            numbers = [x for x, _ in values]
            assert len(set(numbers)) == len(numbers)
            if kind != "imap_unordered":
                assert numbers == sorted(numbers)
            assert pool._engine.channel.validate() is None
    assert killer.killed > rounds / 10
    pool.close()
    pool.join()
    assert validate() is None


def _echo(item: tuple[int, bytes]) -> tuple[int, bytes]:
    _work(0)
    return item
