"""``await pool.run(...)``: one call, and the loop goes on meanwhile."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
import time
from collections.abc import Coroutine
from typing import Any

import pytest

from procession.errors.pool import PoolTerminated, TaskTimeout, WorkerDied
from procession.futures import Executor
from procession.pool import Pool
from tests.pool.awaited import die, gated, power, refuse_threes, run, square
from tests.pool.gates import Gate, Log


def _sleep_for_ever(log: Log, word: object = "begun") -> None:
    log.write(word)
    time.sleep(3600)


def _begun(log: Log, count: int = 1) -> Coroutine[Any, Any, None]:
    """Wait until so many lines were written; the loop is not needed for that."""

    def wait() -> None:
        while len(log.lines()) < count:
            time.sleep(0.001)

    return asyncio.to_thread(wait)


def test_run_returns_the_value(pool: Pool) -> None:
    async def work() -> list[Any]:
        calls = [pool.run(power, x, y=2) for x in range(200)]
        return await asyncio.gather(*calls)

    assert run(work) == [x * x for x in range(200)]


def test_run_raises_what_the_call_raises(pool: Pool) -> None:
    async def work() -> None:
        with pytest.raises(LookupError, match="6"):
            await pool.run(refuse_threes, 6)
        with pytest.raises(WorkerDied):
            await pool.run(die)
        with pytest.raises(TaskTimeout):
            await pool.options(timeout=0.05).run(time.sleep, 3600)
        with pytest.raises((TypeError, AttributeError)):
            await pool.run(square, threading.Lock())
        assert await pool.run(square, 3) == 9

    run(work)


def test_run_heeds_options(log: Log, pool: Pool) -> None:
    async def work() -> Any:
        return await pool.options(retries=2, on_death="retry").run(_die_twice, log)

    assert run(work) == 3


def _die_twice(log: Log) -> int:
    log.write("run")
    if len(log.lines()) < 3:
        die()
    return len(log.lines())


def test_run_waits_for_room_beside_the_loop(gate: Gate, pool: Pool) -> None:
    async def work() -> list[Any]:
        narrow = pool.options(max_in_flight=1)
        first = asyncio.create_task(narrow.run(gated, (gate, 1)))
        await asyncio.sleep(0)
        second = asyncio.create_task(narrow.run(square, 2))
        given_up = asyncio.create_task(narrow.run(square, 3))
        for _ in range(3):  # the loop goes on while two of them wait
            await asyncio.sleep(0.01)
        assert not second.done()
        given_up.cancel()
        gate.open()
        return [await first, await second, given_up.cancelled()]

    assert run(work) == [1, 4, True]


def test_a_cancelled_call_is_stopped_and_others_are_not(gate: Gate, log: Log, pool: Pool) -> None:
    async def work() -> None:
        pids = {await pool.run(os.getpid) for _ in range(20)}
        doomed = asyncio.create_task(pool.run(_sleep_for_ever, log))
        other = asyncio.create_task(pool.run(gated, (gate, 5)))
        waiting = asyncio.create_task(pool.run(log.write, "never"))
        await _begun(log)
        waiting.cancel()
        doomed.cancel()
        with pytest.raises(asyncio.CancelledError):
            await doomed
        gate.open()
        assert await other == 5
        assert await pool.run(square, 3) == 9
        assert pids

    run(work)
    assert log.lines() == ["begun"]


def test_a_time_limit_of_asyncios_stops_the_call(log: Log) -> None:
    async def work() -> None:
        with Pool(1) as pool:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await pool.run(_sleep_for_ever, log)
            assert await pool.run(square, 3) == 9  # its only worker is free again

    run(work)


def test_terminated_pools_answer(log: Log) -> None:
    async def work() -> None:
        with Pool(1) as pool:
            running = asyncio.create_task(pool.run(_sleep_for_ever, log))
            waiting = asyncio.create_task(pool.run(square, 2))
            await _begun(log)
            await asyncio.to_thread(pool.terminate)
            for task in (running, waiting):
                with pytest.raises(PoolTerminated):
                    await task
            with pytest.raises(ValueError, match="Pool not running"):
                await pool.run(square, 2)

    run(work)


def test_several_loops_in_threads(pool: Pool) -> None:
    async def work(start: int) -> int:
        values = [value async for value in pool.imap(square, range(start, start + 50))]
        values += await asyncio.gather(*(pool.run(square, x) for x in range(50)))
        return sum(values)

    with concurrent.futures.ThreadPoolExecutor(3) as threads:
        got = list(threads.map(lambda start: asyncio.run(work(start)), [0, 100, 200]))
    squares = sum(x * x for x in range(50))
    assert got == [sum(x * x for x in range(s, s + 50)) + squares for s in (0, 100, 200)]


def test_executors_and_run_together(pool: Pool) -> None:
    async def work(executor: Executor) -> Any:
        loop = asyncio.get_running_loop()
        calls = [
            loop.run_in_executor(executor, square, 2),
            asyncio.wrap_future(executor.submit(square, 3)),
            pool.run(square, 4),
        ]
        return await asyncio.gather(*calls)

    with Executor(1) as executor:
        assert run(lambda: work(executor)) == [4, 9, 16]


def test_run_needs_a_loop(pool: Pool) -> None:
    call = pool.run(square, 2)
    with pytest.raises(RuntimeError, match="no event loop of asyncio"):
        call.send(None)


def test_a_loop_that_is_closed_midway(gate: Gate, pool: Pool) -> None:
    loop = asyncio.new_event_loop()
    results = pool.imap(gated, [(gate, 1)])
    call = loop.create_task(pool.run(gated, (gate, 2)))
    step = loop.create_task(results.__anext__())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    gate.open(2)
    # Neither is told any more, and nothing else suffers from that.
    assert pool.apply(square, (3,)) == 9
    for task in (call, step):
        task._log_destroy_pending = False  # type: ignore[attr-defined]
