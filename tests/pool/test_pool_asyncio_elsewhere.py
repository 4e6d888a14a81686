"""asyncio on other engines: the same calls, on threads and on somebody else's executor."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from procession.pool import Pool
from tests.plugins.scripts import LIMIT
from tests.pool.awaited import run


def _square(x: int) -> int:
    return x * x


def _refuse(x: int) -> int:
    raise LookupError(x)


@pytest.fixture(params=["threads", "executor"])
def elsewhere(request: pytest.FixtureRequest) -> Iterator[Pool]:
    if request.param == "threads":
        with Pool(2, backend="threads") as pool:
            yield pool
        pool.join()
        return
    with ThreadPoolExecutor(2) as executor:
        with Pool(2, backend=executor) as pool:
            yield pool
        pool.join()


def test_calls_and_results(elsewhere: Pool) -> None:
    async def work() -> list[Any]:
        with pytest.raises(LookupError):
            await elsewhere.run(_refuse, 1)
        ones = await asyncio.gather(*(elsewhere.run(_square, x) for x in range(50)))
        many = [value async for value in elsewhere.imap(_square, iter(range(500)))]
        return [sum(ones), many]

    assert run(work) == [sum(x * x for x in range(50)), [x * x for x in range(500)]]


def test_a_cancelled_call_is_given_up() -> None:
    may_end, begun = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        may_end.wait()

    async def work() -> None:
        with Pool(2, backend="threads") as pool:
            task = asyncio.create_task(pool.run(wait))
            await asyncio.to_thread(begun.wait)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task  # though the thread can not be stopped
            assert await pool.run(_square, 3) == 9
            may_end.set()
        pool.join()

    run(work)


def test_an_abandoned_iteration_closes_its_input(elsewhere: Pool) -> None:
    closed = threading.Event()

    def numbers() -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            closed.set()

    async def work() -> None:
        async for value in elsewhere.imap(_square, numbers()):
            if value > 100:
                break

    run(work)
    assert closed.wait(LIMIT)
