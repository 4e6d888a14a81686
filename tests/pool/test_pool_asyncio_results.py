"""``async for`` over the results of imap calls: the loop goes on meanwhile."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from procession.errors.pool import PoolTerminated
from procession.pool import Pool
from tests.plugins.scripts import LIMIT
from tests.pool.awaited import die, gated, power, refuse_threes, run, square
from tests.pool.gates import Gate, Log

ALL = pytest.mark.parametrize("method", ["imap", "imap_unordered"])

AHEAD = 2 * 512
"""Items that a pool of two workers has on their way or not yet consumed, at most."""


def _logged(x: tuple[Log, int]) -> int:
    log, number = x
    log.write(number)
    return number


@ALL
@pytest.mark.parametrize("chunksize", [1, 7])
@pytest.mark.parametrize("make", [range, lambda n: iter(range(n)), lambda n: list(range(n))])
def test_all_results_come(pool: Pool, method: str, chunksize: int, make: Any) -> None:
    async def work() -> list[int]:
        results = getattr(pool, method)(square, make(1000), chunksize)
        return [value async for value in results]

    values = run(work)
    assert (values if method == "imap" else sorted(values)) == [x * x for x in range(1000)]


@pytest.mark.parametrize("method", ["istarmap", "istarmap_unordered"])
def test_unpacked_items(pool: Pool, method: str) -> None:
    async def work() -> list[int]:
        return [value async for value in getattr(pool, method)(power, [(2, 3), (3, 2)])]

    assert sorted(run(work)) == [8, 9]


def test_no_items(pool: Pool) -> None:
    async def work() -> list[int]:
        return [value async for value in pool.imap(square, iter(()))]

    assert run(work) == []


def test_an_error_is_raised_in_its_turn_and_it_goes_on(pool: Pool) -> None:
    async def work() -> list[Any]:
        results = pool.imap(refuse_threes, range(5))
        got: list[Any] = []
        while True:
            try:
                got.append(await anext(results))
            except LookupError as error:
                got.append(error.args)
            except StopAsyncIteration:
                break
        with pytest.raises(StopAsyncIteration):  # and stays there
            await anext(results)
        return got

    assert run(work) == [(0,), 1, 2, (3,), 4]


@pytest.mark.parametrize(
    ("errors", "expected"),
    [("skip", [1, 2, 4]), ("return", ["LookupError", 1, 2, "LookupError", 4]), ("group", None)],
)
def test_errors_as_asked(pool: Pool, errors: Any, expected: list[Any] | None) -> None:
    async def work() -> list[Any]:
        results = pool.options(errors=errors).imap(refuse_threes, range(5))
        return [value if type(value) is int else type(value).__name__ async for value in results]

    if expected is not None:
        assert run(work) == expected
    else:
        with pytest.raises(ExceptionGroup) as caught:
            run(work)
        assert len(caught.value.exceptions) == 2


def test_a_death_costs_one_item(pool: Pool) -> None:
    async def work() -> list[Any]:
        results = pool.options(errors="return").imap(_die_at_two, range(4))
        return [type(value).__name__ async for value in results]

    assert run(work) == ["int", "int", "WorkerDied", "int"]


def _die_at_two(x: int) -> int:
    if x == 2:
        die()
    return x


def test_an_input_that_fails(pool: Pool) -> None:
    def numbers() -> Iterator[int]:
        yield 1
        raise OSError("the input")

    async def work() -> list[int]:
        results = pool.imap(square, numbers())
        got = [await anext(results)]
        with pytest.raises(OSError, match="the input"):
            await anext(results)
        return got

    assert run(work) == [1]


class _Endless:
    """An input that knows how far it was pulled, and where."""

    def __init__(self) -> None:
        self.pulled = 0
        self.threads: set[int] = set()
        self.closed = threading.Event()

    def items(self) -> Iterator[int]:
        try:
            for number in itertools.count():
                self.pulled = number + 1
                self.threads.add(threading.get_ident())
                yield number
        finally:
            self.closed.set()


@ALL
def test_an_endless_input_is_pulled_as_results_are_consumed(pool: Pool, method: str) -> None:
    source = _Endless()

    async def work() -> None:
        taken = 0
        async with aclosing(getattr(pool, method)(square, source.items())) as results:
            async for _ in results:
                taken += 1
                assert source.pulled <= taken + AHEAD
                if taken == 3000:
                    break
        assert source.closed.is_set()

    run(work)
    assert threading.get_ident() not in source.threads  # the loop pulled nothing


def test_the_loop_goes_on_while_the_input_waits(pool: Pool) -> None:
    may_go_on = threading.Event()

    def numbers() -> Iterator[int]:
        may_go_on.wait()
        yield from range(3)

    async def work() -> list[int]:
        async def consume() -> list[int]:
            return [value async for value in pool.imap(square, numbers())]

        consumer = asyncio.create_task(consume())
        for _ in range(5):
            await asyncio.sleep(0.001)
        may_go_on.set()  # which nobody would come to if the loop waited for the input
        return await consumer

    assert run(work) == [0, 1, 4]


def test_other_calls_go_on_while_an_input_waits(pool: Pool) -> None:
    may_go_on = threading.Event()

    def numbers() -> Iterator[int]:
        yield 1
        may_go_on.wait()

    async def work() -> None:
        results = pool.imap(square, numbers())
        step = asyncio.ensure_future(anext(results))
        assert await pool.run(square, 5) == 25
        may_go_on.set()
        assert await step == 1

    run(work)


@pytest.mark.parametrize("how", ["break", "aclose", "cancel", "timeout", "drop"])
def test_an_abandoned_iteration_leaves_nothing(gate: Gate, pool: Pool, how: str) -> None:
    source = _Endless()

    async def exhaust(results: AsyncIterator[int]) -> None:
        while True:  # not by async for, which would drop it
            await anext(results)

    async def consume(begun: asyncio.Event) -> None:
        results = pool.imap(
            gated, ((gate if number > 1 else None, number) for number in source.items())
        )
        assert await anext(results) == 0
        begun.set()
        if how == "aclose":
            await results.aclose()
            with pytest.raises(StopAsyncIteration):
                await anext(results)
        elif how == "timeout":
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await exhaust(results)
            with pytest.raises(RuntimeError, match="was cancelled"):
                await anext(results)
        elif how == "cancel":
            await exhaust(results)
        elif how == "break":
            async for _ in results:
                break

    async def work() -> None:
        begun = asyncio.Event()
        task = asyncio.create_task(consume(begun))
        await begun.wait()
        if how == "cancel":
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            await task
        gate.open(2)  # for those that were begun
        assert await pool.run(square, 3) == 9

    run(work)
    assert source.closed.wait(LIMIT)
    assert not pool._engine.streams
    pool.close()
    pool.join()  # it has nothing else to do


def test_closed_while_the_input_gives_its_first_item(pool: Pool) -> None:
    asked, may_go_on, closed = threading.Event(), threading.Event(), threading.Event()

    def numbers() -> Generator[int, None, None]:
        try:
            asked.set()
            may_go_on.wait()
            yield 1
        finally:
            closed.set()

    async def work() -> None:
        source = numbers()
        results = pool.imap(square, source)
        await asyncio.to_thread(asked.wait)
        await results.aclose()  # does not wait for an input that may wait for ever
        may_go_on.set()
        await asyncio.to_thread(closed.wait)
        source.close()

    run(work)


def test_what_closing_the_input_raises(pool: Pool) -> None:
    def numbers() -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            raise OSError("at the end")

    async def work() -> None:
        results = pool.imap(square, numbers())
        await anext(results)
        with pytest.raises(OSError, match="at the end"):
            await results.aclose()
        await results.aclose()

    run(work)


def test_closed_before_it_began(log: Log, pool: Pool) -> None:
    async def work() -> None:
        results = pool.imap(square, range(3))
        await results.aclose()
        assert [value async for value in results] == []

    run(work)


def test_never_asked_for_it_is_run_all_the_same(log: Log) -> None:
    async def work(pool: Pool) -> None:
        pool.imap(_logged, ((log, number) for number in range(100)))

    with Pool(2) as pool:
        asyncio.run(work(pool))
        pool.close()
        pool.join()
    assert sorted(map(int, log.lines())) == list(range(100))


def test_two_consumers_share_an_iterator(pool: Pool) -> None:
    async def work() -> list[int]:
        results = pool.imap(square, range(500))

        async def consume() -> list[int]:
            return [value async for value in results]

        first, second, third = await asyncio.gather(consume(), consume(), consume())
        return first + second + third

    assert sorted(run(work)) == [x * x for x in range(500)]


def test_who_shares_a_cancelled_iterator_is_told(gate: Gate, pool: Pool) -> None:
    async def work() -> None:
        results = pool.imap(gated, [(gate, 0), (gate, 1)])
        first, second = asyncio.ensure_future(anext(results)), asyncio.ensure_future(anext(results))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(RuntimeError, match="was cancelled"):
            await second
        gate.open(2)

    run(work)


def test_with_a_journal(pool: Pool, tmp_path: Path) -> None:
    async def work() -> list[int]:
        kept = pool.options(journal=tmp_path / "journal.sqlite")
        async with aclosing(kept.imap(square, iter(range(5)))) as results:
            first = await anext(results)
        return [first] + [value async for value in kept.imap(square, iter(range(5)))]

    assert run(work) == [0, 0, 1, 4, 9, 16]


def test_sync_and_async_in_turns(pool: Pool) -> None:
    async def work() -> list[int]:
        results = pool.imap(square, (x for x in range(6)))
        got = [next(results), await anext(results), next(results)]
        return got + [value async for value in results]

    assert run(work) == [0, 1, 4, 9, 16, 25]


def test_a_pool_that_ends_under_an_iteration(gate: Gate) -> None:
    async def work() -> None:
        with Pool(1) as pool:
            results = pool.imap(gated, [(gate, 1)])
            step = asyncio.ensure_future(anext(results))
            await asyncio.sleep(0)
            await asyncio.to_thread(pool.terminate)
            with pytest.raises(PoolTerminated):
                await step

    run(work)


def test_an_async_iterable_is_no_input(pool: Pool) -> None:
    async def numbers() -> AsyncIterator[int]:
        yield 1

    async def work() -> None:
        with pytest.raises(TypeError, match="only be iterated over by async for"):
            pool.imap(square, numbers())  # type: ignore[arg-type]

    run(work)
