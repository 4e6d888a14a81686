"""A signal handler that raises may come in between any two instructions of the main thread.

Then the call that it interrupts ends with its exception, and everything else goes on: no result is
lost, nothing hangs. ``KeyboardInterrupt`` is of this kind, and so is the one here.
"""

from __future__ import annotations

import gc
import itertools
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from procession._core import arena_statistics, validate
from procession.pool import AsyncResult, Pool
from tests.pool.gates import children

pytestmark = [
    pytest.mark.usefixtures("keeps_handlers"),
    # In a destructor or the callback of a weak reference, Python reports and drops the exception.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

INTERRUPTS = 300


class Interrupt(BaseException):
    """What the handler raises."""


def _raise(*_: object) -> None:
    raise Interrupt


def _next(x: int) -> int:
    return x + 1


class Interrupter:
    """Interrupts calls after a random while."""

    def __init__(self, seed: int) -> None:
        self.count = 0
        self._random = random.Random(seed)
        signal.signal(signal.SIGALRM, _raise)

    def interrupt(self, block: Callable[[], object], seconds: float) -> bool:
        """Call the block; whether it was interrupted, which may happen after up to `seconds`."""
        try:
            signal.setitimer(signal.ITIMER_REAL, self._random.uniform(1e-5, seconds))
            block()
            signal.setitimer(signal.ITIMER_REAL, 0)
        except Interrupt:
            self.count += 1
            return True
        return False

    def often(self, block: Callable[[], object], seconds: float = 0.0015) -> None:
        """Call the block until it has been interrupted INTERRUPTS times."""
        while self.count < INTERRUPTS:
            self.interrupt(block, seconds)


def _end(pool: Pool) -> None:
    """Nothing keeps the pool from its regular end."""
    assert pool.map(_next, range(100)) == list(range(1, 101))
    pool.close()
    pool.join()
    assert validate() is None


@pytest.mark.parametrize("seed", [1, 2])
def test_get_can_be_asked_again(seed: int) -> None:
    pool = Pool(2)
    results = [pool.apply_async(_next, (x,)) for x in range(30_000)]
    waiting = iter(results)
    Interrupter(seed).often(lambda: [next(waiting, results[0]).get() for _ in range(100)])
    assert [result.get() for result in results] == list(range(1, 30_001))
    _end(pool)


@pytest.mark.parametrize(
    "call",
    [
        lambda pool: pool.map(_next, range(200), 3),
        lambda pool: pool.map(partial(_next), range(50)),
        lambda pool: pool.apply(_next, (1,)),
        lambda pool: pool.apply(len, (bytes(100_000),)),
        lambda pool: pool.map(len, [bytes(30_000)] * 10, 2),
        lambda pool: list(pool.imap(_next, range(100))),
        lambda pool: list(pool.imap_unordered(_next, range(100), 3)),
        lambda pool: pool.map_async(_next, range(50), callback=list).get(),
        lambda pool: pool.apply_async(_next, (1,), callback=repr).get(),
    ],
)
def test_an_interrupted_call_leaves_the_pool_intact(call: Callable[[Pool], object]) -> None:
    pool = Pool(2)
    Interrupter(3).often(lambda: call(pool))
    _end(pool)


def test_no_other_call_is_lost() -> None:
    pool = Pool(2)
    interrupter = Interrupter(4)
    others: list[tuple[AsyncResult, Any]] = []
    called: list[int] = []
    for x in itertools.count():
        if interrupter.count >= 40:
            break
        # Submitted in peace, answered during the interrupts.
        others.append((pool.apply_async(_next, (x,)), x + 1))
        others.append((pool.apply_async(len, (bytes(20_000 + x),)), 20_000 + x))
        others.append((pool.apply_async(_next, (x,), callback=called.append), x + 1))
        others.append((pool.map_async(_next, range(20), 2), list(range(1, 21))))
        others.append((pool.map_async(partial(_next), range(20)), list(range(1, 21))))
        interrupter.interrupt(
            lambda: (pool.map(_next, range(60), 2), pool.apply(_next, (1,))), 0.002
        )
    for result, expected in others:
        assert result.get() == expected
    assert sorted(called) == list(range(1, x + 1))
    _end(pool)


@pytest.mark.parametrize("method", ["imap", "imap_unordered"])
def test_an_iteration_goes_on_behind_an_interrupt(method: str) -> None:
    # An interrupt can come when the result is on its way from next() to its variable: so one
    # result for each interrupt may be missing, but none is there twice, and the iteration ends.
    pool = Pool(2)
    interrupter = Interrupter(5)
    total = 5000
    while interrupter.count < 20:
        before = interrupter.count
        results = getattr(pool, method)(_next, range(total))
        found: list[int] = []
        while interrupter.interrupt(partial(found.extend, results), 0.003):
            pass
        numbers = set(found)
        assert len(numbers) == len(found)
        assert numbers <= set(range(1, total + 1))
        assert len(found) >= total - (interrupter.count - before)
        if method == "imap":
            assert found == sorted(found)
    _end(pool)


def test_results_of_a_stream_beside_the_interrupted_call_are_complete() -> None:
    pool = Pool(2)
    streams = [pool.imap(_next, range(64)) for _ in range(20)]
    streams += [pool.imap_unordered(_next, range(128), 2) for _ in range(20)]
    Interrupter(6).often(lambda: pool.map(_next, range(30), 1))
    for stream in streams:
        found = list(stream)
        assert sorted(found) == list(range(1, len(found) + 1))
        assert len(found) in (64, 128)
    _end(pool)


def test_interrupts_of_close_and_join() -> None:
    interrupter = Interrupter(7)
    while interrupter.count < 15:
        pool = Pool(1)
        result = pool.map_async(_next, range(20), 1)
        interrupter.interrupt(lambda pool=pool: (pool.close(), pool.join()), 0.005)  # type: ignore[misc]
        pool.close()
        pool.join()
        assert result.get() == list(range(1, 21))


def test_interrupts_of_terminate() -> None:
    interrupter = Interrupter(8)
    while interrupter.count < 15:
        pool = Pool(1)
        result = pool.map_async(_next, range(20), 1)
        interrupter.interrupt(lambda pool=pool: (pool.terminate(), pool.join()), 0.005)  # type: ignore[misc]
        pool.terminate()
        pool.join()
        assert result.ready()


@pytest.mark.may_leak(
    reason="an interrupt of Thread.start() or of os.eventfd() can leave theirs behind"
)
def test_interrupts_of_the_making_of_a_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    # pytest's keeps the traceback of what is dropped, and so all that its frames hold.
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    interrupter = Interrupter(9)
    blocks = arena_statistics()["blocks"]
    pools: list[Pool] = []
    while interrupter.count < 20:
        interrupter.interrupt(lambda: pools.append(Pool(2)), 0.01)
    for pool in pools:
        assert pool.apply(_next, (1,)) == 2
        pool.terminate()
        pool.join()
    pools.clear()
    gc.collect()  # one that was interrupted when it was made already
    for thread in threading.enumerate():
        if thread.name == "procession-supervisor" and thread.is_alive():
            thread.join()
    assert children() == set()
    assert validate() is None
    # A thread whose start() was interrupted stands in no list: its end can only be looked for.
    for _ in range(1000):
        if arena_statistics()["blocks"] == blocks:
            break
        gc.collect()
        time.sleep(0.01)
    assert arena_statistics()["blocks"] == blocks


# A handler that does not raise


def test_handler_that_uses_the_pool_it_interrupts(pool: Pool) -> None:
    calls: list[list[int]] = []

    def use(*_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)  # one at a time
        calls.append(pool.map(_next, range(10), 1))
        assert pool.apply(_next, (1,)) == 2
        assert list(pool.imap(_next, range(5))) == list(range(1, 6))
        assert pool.apply(partial(_next, 2)) == 3

    signal.signal(signal.SIGALRM, use)
    choice = random.Random(10)
    while len(calls) < 100:
        signal.setitimer(signal.ITIMER_REAL, choice.uniform(1e-5, 0.002))
        assert pool.map(_next, range(100), 3) == list(range(1, 101))
        assert pool.apply(_next, (5,)) == 6
        assert list(pool.imap_unordered(len, ["x"] * 20, 3)) == [1] * 20
    assert calls == [list(range(1, 11))] * len(calls)


def test_handler_that_uses_callbacks(pool: Pool) -> None:
    seen: list[int] = []
    calls = 0

    def use(*_: object) -> None:
        nonlocal calls
        signal.setitimer(signal.ITIMER_REAL, 0)
        calls += 1
        assert pool.apply_async(_next, (calls,), callback=seen.append).get() == calls + 1

    signal.signal(signal.SIGALRM, use)
    choice = random.Random(11)
    pool.apply_async(_next, (0,), callback=repr).get()  # the thread for callbacks is there
    while calls < 100:
        signal.setitimer(signal.ITIMER_REAL, choice.uniform(1e-5, 0.002))
        pool.map_async(_next, range(50), callback=repr).get()
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert seen == list(range(2, calls + 2))


def test_handler_that_terminates_the_pool() -> None:
    for seed in range(20):
        pool = Pool(2)
        signal.signal(signal.SIGALRM, lambda *_, pool=pool: pool.terminate())
        signal.setitimer(signal.ITIMER_REAL, random.Random(seed).uniform(1e-4, 0.01))
        results = []
        ended = ""
        while not ended:
            try:
                results.append(pool.map_async(_next, range(100), 1))
                results[-1].get()
            except Exception as error:
                ended = type(error).__name__
        assert ended in ("PoolTerminated", "ValueError")
        pool.join()
        assert all(result.ready() for result in results)
