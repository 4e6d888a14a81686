"""Every callable reaches the workers, as it is at the time of the call."""

from __future__ import annotations

import functools
import operator
import os
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from procession._codec.functions import KEPT_BY_SENDER, KEPT_BY_WORKER
from procession.pool import AsyncResult, Pool
from tests.plugins.scripts import RunScript
from tests.pool.gates import Gate


def _add(x: int, y: int) -> int:
    return x + y


@functools.lru_cache
def _cached(x: int) -> int:
    return x * x


class Scale:
    """Callable, with a state, and with methods of each kind."""

    factor: ClassVar[int] = 100

    def __init__(self, by: int) -> None:
        self.by = by

    def __call__(self, x: int) -> int:
        return x * self.by

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scale) and other.by == self.by

    def __hash__(self) -> int:
        return hash(self.by)

    def method(self, x: int) -> int:
        return x * self.by

    @classmethod
    def of_the_class(cls, x: int) -> int:
        return x * cls.factor

    @staticmethod
    def static(x: int) -> int:
        return x * 1000


def _all_ways(pool: Pool, function: Callable[[int], Any], items: range) -> list[list[Any]]:
    """The results of each kind of call, in order."""
    unordered = pool.imap_unordered(lambda x: (x, function(x)), items)
    return [
        [pool.apply(function, (x,)) for x in items],
        pool.map(function, items),
        pool.map(function, items, 1),
        pool.starmap(function, [(x,) for x in items]),
        list(pool.imap(function, items)),
        list(pool.imap(function, items, 3)),
        [value for _, value in sorted(unordered)],
    ]


def _closure(y: int) -> Callable[[int], int]:
    def inner(x: int) -> int:
        return x + y

    return inner


def _lambda_with_default(y: int) -> Callable[[int], int]:
    return lambda x, y=y: x * y  # type: ignore[misc]


FUNCTIONS: list[tuple[str, Callable[[int], Any]]] = [
    ("lambda", lambda x: x + 1),
    ("closure", _closure(5)),
    ("lambda with a default", _lambda_with_default(3)),
    ("partial", functools.partial(_add, 7)),
    ("partial of a lambda", functools.partial(lambda x, y: x - y, 7)),
    ("bound method", Scale(3).method),
    ("instance", Scale(4)),
    ("class method", Scale.of_the_class),
    ("static method", Scale.static),
    ("builtin", abs),
    ("method of a builtin", [10, 20, 30, 40, 50, 60].__getitem__),
    ("method of a type", int.bit_length),
    ("class", Scale),
    ("builtin class", str),
    ("cached function", _cached),
    ("attribute getter", operator.attrgetter("real")),
]


@pytest.mark.parametrize("function", [pytest.param(f, id=name) for name, f in FUNCTIONS])
def test_callables_of_every_kind(pool: Pool, function: Callable[[int], Any]) -> None:
    items = range(1, 6)
    expected = [function(x) for x in items]
    for values in _all_ways(pool, function, items):
        assert values == expected


def test_a_lambda_made_after_the_pool_brings_what_it_needs(pool: Pool) -> None:
    table = {"a": 1, "b": [2, 3]}
    assert pool.map(lambda key: table[key], "ab") == [1, [2, 3]]
    assert pool.apply(lambda: [_closure(y)(3) for y in range(3)]) == [3, 4, 5]


def test_a_recursive_closure(pool: Pool) -> None:
    def factorial(n: int) -> int:
        return n * factorial(n - 1) if n else 1

    assert pool.map(factorial, range(6)) == [1, 1, 2, 6, 24, 120]


# ---- what a function captured changes between two calls


def test_a_captured_variable_is_as_at_the_call(pool: Pool) -> None:
    y = 0

    def add(x: int) -> int:
        return x + y

    for y in range(20):
        expected = [x + y for x in range(5)]
        for values in _all_ways(pool, add, range(5)):
            assert values == expected


def test_a_captured_object_is_as_at_the_call(pool: Pool) -> None:
    offsets: list[int] = []

    def add(x: int) -> int:
        return x + sum(offsets)

    for count in range(1, 10):
        offsets.append(count)
        expected = [x + sum(offsets) for x in range(5)]
        for values in _all_ways(pool, add, range(5)):
            assert values == expected


def test_a_state_is_as_at_the_call(pool: Pool) -> None:
    scale = Scale(0)
    for scale.by in range(10):
        expected = [x * scale.by for x in range(5)]
        for function in (scale, scale.method, functools.partial(Scale.method, scale)):
            for values in _all_ways(pool, function, range(5)):
                assert values == expected


def test_defaults_are_as_at_the_call(pool: Pool) -> None:
    def add(x: int, y: int = 0) -> int:
        return x + y

    for y in range(10):
        add.__defaults__ = (y,)
        assert pool.map(add, range(5)) == [x + y for x in range(5)]
        assert pool.apply(add, (1,)) == 1 + y


def test_tasks_on_their_way_keep_what_they_were_sent_with(gate: Gate, pool: Pool) -> None:
    y = 0

    def wait_and_add(x: int) -> int:
        gate.pass_through()
        return x + y

    def submit(now: int) -> AsyncResult:
        nonlocal y
        y = now
        return pool.apply_async(wait_and_add, (100,))

    results = [submit(now) for now in range(50)]
    gate.open(50)
    assert [result.get() for result in results] == [100 + y for y in range(50)]


# ---- many functions


def test_more_functions_than_anybody_keeps(pool: Pool) -> None:
    count = KEPT_BY_WORKER + KEPT_BY_SENDER // 2
    functions = [_closure(y) for y in range(count)]
    results = [pool.apply_async(function, (1,)) for function in functions]
    assert [result.get() for result in results] == [1 + y for y in range(count)]
    # Those known no longer are sent again.
    results = [pool.apply_async(function, (2,)) for function in functions]
    assert [result.get() for result in results] == [2 + y for y in range(count)]


def test_many_functions_in_flight_at_once(gate: Gate, pool: Pool) -> None:
    held = [pool.apply_async(gate.pass_through) for _ in range(2)]
    count = KEPT_BY_SENDER + 150
    results = [pool.apply_async(_closure(y), (0,)) for y in range(count)]
    maps = [pool.map_async(_lambda_with_default(y), range(3)) for y in range(100)]
    streams = [pool.imap(_closure(-y), range(3)) for y in range(100)]
    assert not any(result.ready() for result in results)
    gate.open(2)
    assert [result.get() for result in results] == list(range(count))
    assert [result.get() for result in maps] == [[0, y, 2 * y] for y in range(100)]
    assert [list(stream) for stream in streams] == [[-y, 1 - y, 2 - y] for y in range(100)]
    assert [result.get() for result in held] == [None, None]


def test_functions_of_the_same_code_are_told_apart(pool: Pool) -> None:
    # Each is gone right away: the next one may well get the same id().
    results = [pool.apply_async(_closure(y), (1,)) for y in range(300)]
    assert [result.get() for result in results] == [1 + y for y in range(300)]


# ---- __main__


def test_functions_defined_after_the_pool_began(run_script: RunScript) -> None:
    done = run_script(
        """
import procession as mp

def f(x):
    return x + 1

with mp.Pool(2) as pool:
    print(pool.map(f, range(3)), pool.apply(f, (1,)))

    def f(x):
        return x * 100

    print(pool.map(f, range(3)), pool.apply(f, (1,)), list(pool.imap(f, range(3))))

    def later(x):
        return helper(x)

    def helper(x):
        return -x

    print(pool.map(later, range(3)), pool.starmap(later, [(1,)]), list(pool.imap(later, [4], 2)))

    class Point:
        def __init__(self, x):
            self.x = x

    points = pool.map(Point, range(3))
    print([point.x for point in points], {type(point) is Point for point in points})
    moved = pool.map(lambda point: Point(point.x + 1), points)
    print([point.x for point in moved], {type(point) is Point for point in moved})
    print(pool.apply(getattr, (Point(5), "x")), list(pool.imap(vars, [Point(6)])))
    print(pool.apply(f, (2,)))
pool.join()
"""
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "[1, 2, 3] 2",
        "[0, 100, 200] 100 [0, 100, 200]",
        "[0, -1, -2] [-1] [-4]",
        "[0, 1, 2] {True}",
        # As an argument it goes by its name first, which the workers do not know; then by value.
        "[1, 2, 3] {True}",
        "5 [{'x': 6}]",
        "200",
    ]


OF_ONE_CALL = """
import functools
import sys
import procession as mp

LATE = '''
def add(a, x): return a {0} x
class Times:
    def __init__(self, a): self.a = a
    def of(self, x): return self.a {0} x
    def __call__(self, x): return self.a {0} x
    @classmethod
    def flat(cls, x): return 100 {0} x
class Item:
    def __init__(self, x): self.x = x
def taken(a, item): return a + item.x, type(item) is Item
'''

def show(door, pool):
    every = [functools.partial(add, 10), Times(3).of, Times(3), Times.flat]
    for function in every:
        print(door, list(pool.map(function, range(4), chunksize=1)), end=" ")
        if door == "pool":
            print(list(pool.imap(function, range(300)))[-1], end=" ")
            print(pool.starmap(function, [(5,), (6,)]), end=" ")
            print(sorted(pool.imap_unordered(function, range(5), 2)), end=" ")
            print([pool.apply(function, (7,)) for _ in range(2)], end=" ")
        else:
            print([pool.submit(function, 7).result() for _ in range(2)], end=" ")
        print(list(pool.map(function, range(50)))[-1])
    print(door, list(pool.map(functools.partial(taken, 1), map(Item, range(3)))))

def main():
    with mp.Pool(2) as pool, mp.Executor(2) as executor:
        doors = [("pool", pool), ("executor", executor)]
        for _, one in doors:
            print(list(one.map(abs, [-1])))
        for operator in "+*":
            exec(LATE.format(operator), globals())
            for door in doors:
                show(*door)
    pool.join()

if __name__ == "__main__":
    mp.set_start_method(sys.argv[1])
    def guarded(a, x):
        return a - x
    main()
    with mp.Pool(2) as pool:
        print(pool.map(functools.partial(guarded, 10), range(3)))
    pool.join()
"""


def _shown(door: str, of: Callable[[int, int], int]) -> list[str]:
    lines = []
    for a in (10, 3, 3, 100):
        more = f" {of(a, 299)} {[of(a, 5), of(a, 6)]} {sorted(of(a, x) for x in range(5))}"
        first = f"{door} {[of(a, x) for x in range(4)]}{more if door == 'pool' else ''}"
        lines.append(f"{first} {[of(a, 7)] * 2} {of(a, 49)}")
    return [*lines, f"{door} [(1, True), (2, True), (3, True)]"]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_callables_with_a_state_defined_after_the_pool_began(
    method: str, run_script: RunScript
) -> None:
    done = run_script(OF_ONE_CALL, method)
    assert (done.returncode, done.stderr) == (0, "")
    expected = ["[1]", "[1]"]
    for of in (operator.add, operator.mul):
        expected += [*_shown("pool", of), *_shown("executor", of)]
    assert done.stdout.splitlines() == [*expected, "[10, 9, 8]"]


def test_globals_of_main_as_they_are_at_the_call(run_script: RunScript) -> None:
    done = run_script(
        """
import procession as mp

with mp.Pool(2) as pool:
    base = 1
    f = lambda x: x + base
    for base in (10, 20, 30):
        print(pool.apply(f, (1,)), pool.map(f, [2, 3]), list(pool.imap(f, [4])))
pool.join()
"""
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"{1 + base} {[2 + base, 3 + base]} {[4 + base]}" for base in (10, 20, 30)
    ]


# ---- what comes back


def test_functions_and_local_classes_come_back(pool: Pool) -> None:
    def make(y: int) -> Any:
        class Local:
            def __init__(self) -> None:
                self.y = y

        return Local(), lambda x: x + y

    local, function = pool.apply(make, (4,))
    assert local.y == 4
    assert function(3) == 7
    assert pool.apply(lambda f: f(10), (function,)) == 14


def test_a_cache_is_each_worker_s_own() -> None:
    with Pool(1) as pool:
        assert pool.map(_cached, [3, 3, 3]) == [9, 9, 9]
        assert pool.apply(_cached.cache_info).hits >= 2
    pool.join()
    assert _cached.cache_info().hits == 0


def test_state_that_a_task_changes_stays_in_the_worker(pool: Pool) -> None:
    counter = {"calls": 0}

    def count(_: int) -> int:
        counter["calls"] += 1
        return os.getpid()

    assert os.getpid() not in pool.map(count, range(10))
    assert counter == {"calls": 0}
