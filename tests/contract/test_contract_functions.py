"""What functions can be tasks, and what is kept of them, on each engine."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy
import pytest

import procession
from procession._backends.abilities import Ability
from procession.pool import Pool
from tests.contract.engines import Setting
from tests.contract.tasks import (
    Counter,
    Fault,
    Signals,
    add,
    begin,
    begin_badly,
    double,
    identity,
    standing,
)
from tests.plugins.scripts import RunScript


def test_lambdas_and_closures(pool: Pool) -> None:
    factor = 3
    assert pool.apply(lambda x: x + 1, (1,)) == 2
    assert pool.map(lambda x: x * factor, range(5)) == [0, 3, 6, 9, 12]
    factor = 4
    assert pool.map(lambda x: x * factor, range(3)) == [0, 4, 8]


def test_a_closure_sees_what_it_captured_last(pool: Pool) -> None:
    seen = [1]

    def total(x: int) -> int:
        return x + sum(seen)

    assert pool.apply(total, (0,)) == 1
    seen.append(5)
    assert pool.apply(total, (0,)) == 6
    assert pool.map(total, range(2)) == [6, 7]


def test_builtins_classes_and_partials(pool: Pool) -> None:
    assert pool.map(abs, [-1, 2]) == [1, 2]
    assert pool.map(str, [1, 2]) == ["1", "2"]
    assert pool.map(functools.partial(add, 1, z=10), [1, 2]) == [12, 13]
    assert pool.map("a-b".split, ["-"]) == [["a", "b"]]
    assert pool.map(Counter().method, [1, 2]) == [1, 2]


def test_a_state_of_its_own(setting: Setting, pool: Pool) -> None:
    """Each chunk has a fresh one; where nothing is pickled, there is but the one."""
    counter = Counter()
    outcomes = [pool.apply(counter, (item,)) for item in range(3)]
    if setting.can(Ability.BY_REFERENCE):
        assert outcomes == [(0, 1), (1, 2), (2, 3)]
        return
    assert outcomes == [(0, 1), (1, 1), (2, 1)]
    assert pool.map(counter, range(4), 2) == [(0, 1), (1, 2), (2, 1), (3, 2)]
    assert list(pool.imap(counter, range(3))) == [(0, 1), (1, 1), (2, 1)]
    assert counter.count == 0


def test_classes_made_here(pool: Pool) -> None:
    class Point:
        def __init__(self, x: int) -> None:
            self.x = x

    moved: Any = pool.apply(lambda point: Point(point.x + 1), (Point(1),))
    assert type(moved).__name__ == "Point"
    assert moved.x == 2


def test_the_initializer(make_pool: Callable[..., Pool], signals: Signals) -> None:
    pool = make_pool(2, begin, (signals, "mine"))
    assert pool.map(standing, range(20), 1) == [{"value": "mine"}] * 20
    assert pool.apply(standing) == {"value": "mine"}
    assert list(pool.imap(standing, range(4))) == [{"value": "mine"}] * 4
    assert 1 <= len(signals.noted()) <= 2


def test_an_initializer_that_fails(make_pool: Callable[..., Pool]) -> None:
    pool = make_pool(2, begin_badly)
    with pytest.raises(procession.InitializerFailed) as caught:
        pool.map(double, range(4))
    assert isinstance(caught.value.__cause__, Fault)
    with pytest.raises(procession.InitializerFailed):
        pool.apply(double, (1,))


def test_two_pools_do_not_share_a_state(make_pool: Callable[..., Pool], signals: Signals) -> None:
    one = make_pool(1, begin, (signals, 1))
    other = make_pool(1, begin, (signals, 2))
    without = make_pool(1)
    assert one.apply(standing) == {"value": 1}
    assert other.apply(standing) == {"value": 2}
    assert without.apply(standing) is None
    assert one.apply(standing) == {"value": 1}


def test_nobody_is_a_worker_here(pool: Pool) -> None:
    assert pool.apply(standing) is None
    with pytest.raises(RuntimeError, match="no worker of a pool"):
        procession.worker_state()


def test_locks_do_not_travel_elsewhere(setting: Setting, pool: Pool) -> None:
    lock = procession.Lock()
    if setting.can(Ability.LOCAL_OBJECTS):
        assert type(pool.apply(identity, (lock,))) is type(lock)
        return
    for function in (identity, lambda given: given or lock):
        with pytest.raises(procession.NotSupported, match="can not go to"):
            pool.apply(function, (lock,))
    with pytest.raises(procession.NotSupported, match="can not go to"):
        pool.map(identity, [procession.Queue()])
    with pytest.raises(procession.MaybeEncodingError, match="can not leave their machine"):
        pool.apply(procession.Lock)
    assert pool.apply(double, (1,)) == 2


def test_shared_arrays(pool: Pool) -> None:
    array = procession.share(numpy.arange(100_000))
    assert pool.apply(numpy.sum, (array,)) == array.sum()
    assert pool.map(numpy.sum, [array[:10], array[50_000:]]) == [45, array[50_000:].sum()]
    assert pool.apply(lambda: int(array[-1])) == 99_999
    part = pool.apply(identity, (array[10:20_000],))
    assert numpy.array_equal(part, array[10:20_000])


_MAIN = """
from concurrent.futures import ProcessPoolExecutor
from procession import Pool

class Point:
    def __init__(self, x):
        self.x = x

def move(point):
    return Point(point.x + 1)

if __name__ == "__main__":
    for backend in ("threads", ProcessPoolExecutor(2)):
        with Pool(2, backend=backend) as pool:
            moved = pool.map(move, [Point(1), Point(2)])
            print([type(point) is Point for point in moved], [point.x for point in moved])
"""


def test_functions_and_classes_of_the_main_module(run_script: RunScript) -> None:
    run = run_script(_MAIN)
    assert run.stdout == "[True, True] [2, 3]\n" * 2
