"""Pools come and go, and leave nothing: no process, thread, descriptor, mapping or shared page.

The leak check stands around these tests, too; here it is measured what they are about.
"""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable
from typing import NamedTuple

import pytest

from procession import _core
from procession.errors.pool import WorkerDied
from procession.pool import Pool
from tests.pool.gates import children, error_of


class Held(NamedTuple):
    """What this process has at a moment."""

    children: set[int]
    threads: list[str]
    descriptors: list[str]
    mappings: int
    blocks: int
    block_bytes: int
    used: int

    @classmethod
    def now(cls) -> Held:
        """Measure."""
        _core.trim()
        statistics = _core.arena_statistics()
        with open("/proc/self/maps") as maps:
            mappings = sum("memfd" in line for line in maps)
        return cls(
            children=children(),
            threads=sorted(thread.name for thread in threading.enumerate()),
            descriptors=sorted(_targets()),
            mappings=mappings,
            blocks=statistics["blocks"],
            block_bytes=statistics["block_bytes"],
            used=statistics["used"],
        )


def _targets() -> list[str]:
    found = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{fd}"))
        except OSError:  # the listing's own
            continue
    return found


def _square(x: int) -> int:
    return x * x


def _map(pool: Pool) -> None:
    assert pool.map(_square, [1, 2, 3]) == [1, 4, 9]


def _callbacks(pool: Pool) -> None:
    seen: list[int] = []
    pool.apply_async(_square, (3,), callback=seen.append).get()
    assert seen == [9]


def _large(pool: Pool) -> None:
    assert pool.apply(bytes, (100_000,)) == bytes(100_000)
    assert pool.apply(len, (bytes(100_000),)) == 100_000


def _broken_off(pool: Pool) -> None:
    stream = pool.imap(lambda x: x, iter(range(10**9)))
    assert next(stream) == 0
    pool.map_async(lambda x: x * 50_000, [b"x"] * 100, 1)


def _death(pool: Pool) -> None:
    assert isinstance(error_of(pool.apply_async(os._exit, (1,))), WorkerDied)


@pytest.mark.parametrize("use", [_map, _callbacks, _large, _broken_off, _death])
@pytest.mark.parametrize("end", ["with", "close and join"])
def test_a_pool_leaves_nothing(use: Callable[[Pool], None], end: str) -> None:
    _use(use, end)
    before = Held.now()
    _use(use, end)
    gc.collect()
    after = Held.now()
    assert after._replace(used=0) == before._replace(used=0)
    assert after.used <= before.used + 4096 * 4


def _use(use: Callable[[Pool], None], end: str, workers: int = 5) -> None:
    if end == "with":
        with Pool(workers) as pool:
            use(pool)
    elif use is not _broken_off:
        pool = Pool(workers)
        use(pool)
        pool.close()
    else:
        pool = Pool(workers)
        use(pool)
        pool.terminate()
    pool.join()


@pytest.mark.watchdog(240)  # a hundred forks of a large process, on a machine that may be busy
def test_fifty_pools_in_a_row_leave_nothing() -> None:
    _use(_map, "with", workers=2)
    before = Held.now()
    for _ in range(25):
        _use(_map, "with", workers=2)
        _use(_map, "close and join", workers=2)
    gc.collect()
    after = Held.now()
    assert after._replace(used=0) == before._replace(used=0)
    assert after.used <= before.used + 4096 * 2
    assert _core.validate() is None


def test_many_pools_at_once() -> None:
    _use(_map, "with")
    before = Held.now()
    pools = [Pool(2) for _ in range(15)]
    results = [pool.map_async(_square, range(10)) for pool in pools for _ in range(3)]
    assert [result.get() for result in results] == [[x * x for x in range(10)]] * 45
    for pool in pools:
        pool.close()
    for pool in pools:
        pool.join()
    del pools, results, pool
    gc.collect()
    assert Held.now()._replace(used=0) == before._replace(used=0)


def test_a_pool_used_for_long_does_not_grow() -> None:
    with Pool(2) as pool:

        def use() -> None:
            pool.map(_square, range(2000))
            [pool.apply(lambda y=x: y + 1) for x in range(50)]  # fifty functions
            list(pool.imap(_square, range(500)))
            pool.apply_async(_square, (2,), callback=repr).get()
            pool.apply(len, (bytes(200_000),))

        for _ in range(14):  # more functions than are kept
            use()
        before = Held.now()
        for _ in range(14):
            use()
        after = Held.now()
        assert (after.children, after.threads) == (before.children, before.threads)
        assert after.descriptors == before.descriptors
        assert after.blocks <= before.blocks
        assert not pool._engine.open
        assert pool._engine.is_idle
    pool.join()
