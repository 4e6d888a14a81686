"""Little memory: whatever fits at all passes, a little at a time; what never fits is refused."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import procession as mp
from procession import _core
from procession._engine import packing
from procession.futures import Executor
from procession.pool import Pool
from tests.pool.arrays import Array, checksum, given_back, in_use, inverted, made
from tests.pool.gates import Gate, Log, error_of

MEMORY = 32 << 20
SIZE = 3 << 20
COUNT = 40
"""Arrays that are four times as much."""


@pytest.fixture
def little() -> Iterator[int]:
    """Puts the budget back to what it was."""
    before = _core.memory_budget()
    yield MEMORY
    _core.memory_budget(before)


@pytest.fixture
def small_pool(little: int) -> Iterator[Pool]:
    """A pool of two workers, and little memory."""
    with Pool(2, memory=little) as pool:
        yield pool
    pool.join()


def _sources() -> Iterator[Array]:
    return (made(SIZE, seed) for seed in range(COUNT))


def _check(results: Any) -> None:
    count = 0
    for seed, result in enumerate(results):
        assert np.array_equal(result, ~made(SIZE, seed))
        assert result.flags.writeable
        count += 1
    assert count == COUNT


def _zeros(size: int) -> Array:
    return np.zeros(size, np.uint8)


def test_the_budget_is_the_family_s_from_now_on(little: int) -> None:
    before = _core.memory_budget()
    with Pool(1, memory=little):
        assert _core.memory_budget() == little
    with Executor(1, memory=2 * little) as executor:
        executor.submit(abs, 1).result()
        assert _core.memory_budget() == 2 * little
    with mp.get_context("fork").Pool(1, memory=little):
        assert _core.memory_budget() == little
    with Pool(1):
        assert _core.memory_budget() == little
    _core.memory_budget(before)


def test_all_that_is_submitted_passes(small_pool: Pool) -> None:
    before = in_use()
    # All results are kept, which is more than there is memory for.
    _check([result.get() for result in [_submitted(small_pool, one) for one in _sources()]])
    given_back(before)


def _submitted(pool: Pool, array: Array) -> Any:
    return pool.apply_async(inverted, (array,))


def test_who_submits_waits_for_those_who_work(small_pool: Pool) -> None:
    sums = [small_pool.apply_async(checksum, (array,)) for array in _sources()]
    assert [one.get() for one in sums] == [checksum(array) for array in _sources()]


@pytest.mark.parametrize("chunk", [None, 1, 2])
def test_a_map_passes(small_pool: Pool, chunk: int | None) -> None:
    before = in_use()
    _check(small_pool.map(inverted, list(_sources()), chunk))
    _check(small_pool.map(inverted, _sources(), chunk))
    given_back(before)


def test_a_map_that_nobody_waits_for_passes(small_pool: Pool) -> None:
    _check(small_pool.map_async(inverted, list(_sources())).get())
    done: list[Any] = []
    small_pool.map_async(inverted, list(_sources()), callback=done.extend).wait()
    _check(done)


@pytest.mark.parametrize("chunk", [1, 2])
def test_a_stream_passes(small_pool: Pool, chunk: int) -> None:
    before = in_use()
    _check(small_pool.imap(inverted, _sources(), chunk))
    assert len(list(small_pool.imap_unordered(inverted, _sources(), chunk))) == COUNT
    given_back(before)


def test_a_stream_that_is_not_consumed_passes_at_the_end(little: int) -> None:
    pool = Pool(2, memory=little)
    stream = pool.imap(inverted, _sources())
    pool.close()
    pool.join()
    _check(stream)


def test_an_executor_passes(little: int) -> None:
    with Executor(2, memory=little) as executor:
        futures = [executor.submit(inverted, array) for array in _sources()]
        _check(future.result() for future in futures)
        _check(executor.map(inverted, _sources()))
        futures = [executor.submit(inverted, array) for array in _sources()]
        assert len(list(mp_as_completed(futures))) == COUNT


def mp_as_completed(futures: list[Any]) -> Iterator[Any]:
    from concurrent.futures import as_completed

    return as_completed(futures)


def test_several_calls_at_once_pass(small_pool: Pool) -> None:
    singles = [_submitted(small_pool, array) for array in _sources()]
    mapped = small_pool.map_async(inverted, list(_sources()))
    _check(small_pool.imap(inverted, _sources()))
    _check(mapped.get())
    _check(single.get() for single in singles)


def test_results_that_only_the_supervisor_collects(small_pool: Pool) -> None:
    # They are four times as much as there is memory for, and nobody waits for them yet.
    before = in_use()
    results = [small_pool.apply_async(_zeros, (SIZE,)) for _ in range(COUNT)]
    small_pool.close()
    small_pool.join()
    assert all(len(result.get()) == SIZE for result in results)
    del results
    given_back(before)


def _noted_zeros(size: int, log: Log, x: int) -> Array:
    log.write(x)
    return np.zeros(size, np.uint8)


def test_results_while_the_parent_is_busy_with_other_things(small_pool: Pool, log: Log) -> None:
    results = [small_pool.apply_async(_noted_zeros, (SIZE, log, x)) for x in range(COUNT)]
    while len(log.lines()) < COUNT:  # all but the last few have room, though nobody waits
        time.sleep(0.01)
    assert all(len(result.get()) == SIZE for result in results)


def test_arguments_that_never_fit(small_pool: Pool) -> None:
    large = np.zeros(MEMORY, np.uint8)
    for call in (
        lambda: small_pool.apply(len, (large,)),
        lambda: small_pool.map(len, [large]),
        lambda: small_pool.map(len, iter([large, large])),
        lambda: next(small_pool.imap(len, [large])),
        lambda: small_pool.map_async(len, [large]).get(),
    ):
        with pytest.raises(mp.ArenaFull) as caught:
            call()
        error = caught.value
        assert (error.asked, error.budget) == (MEMORY, MEMORY)
        assert "32 MiB" in str(error)
        assert "memory=" in str(error)
    found = small_pool.options(errors="return").map(len, [b"x", large, b"xyz"], 1)
    assert (found[0], type(found[1]), found[2]) == (1, mp.ArenaFull, 3)


def test_a_result_that_never_fits_is_the_error_of_its_task(small_pool: Pool) -> None:
    error = error_of(small_pool.apply_async(_zeros, (MEMORY + 1,)))
    assert type(error) is mp.ArenaFull
    assert error.budget == MEMORY
    found = small_pool.options(errors="return").map(_zeros, [1, MEMORY + 1, 3], 3)
    assert [len(found[0]), type(found[1]), len(found[2])] == [1, mp.ArenaFull, 3]
    assert len(small_pool.apply(_zeros, (SIZE,))) == SIZE


def test_a_future_of_what_never_fits(little: int) -> None:
    with Executor(1, memory=little) as executor:
        future = executor.submit(len, np.zeros(little, np.uint8))
        assert type(future.exception()) is mp.ArenaFull
        assert executor.submit(abs, -1).result() == 1


def test_where_others_have_it_all(small_pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "PATIENCE", 0.0)
    held = [_core.Memory.holding([bytes(SIZE)], wait=False) for _ in range(7)]
    with pytest.raises(mp.ArenaFull) as caught:
        small_pool.apply(len, (made(SIZE),))
    assert caught.value.in_use > 7 * SIZE
    with pytest.raises(mp.ArenaFull):
        small_pool.map(len, [made(SIZE)])
    held.pop()
    assert small_pool.apply(len, (made(SIZE),)) == SIZE


def test_ended_while_somebody_waits_for_room(gate: Gate, little: int) -> None:
    with Pool(1, memory=little) as pool:
        held = [pool.apply_async(gate.pass_through)]
        held += [pool.apply_async(len, (array,)) for array in list(_sources())[:7]]
        mapped = pool.map_async(len, list(_sources()))
        stream = pool.imap(len, _sources())
        pool.terminate()
        assert all(type(error_of(one)) is mp.PoolTerminated for one in (*held, mapped))
        with pytest.raises(mp.PoolTerminated):
            next(stream)
    pool.join()


def test_a_wrong_amount_of_memory() -> None:
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="memory must be a number of bytes"):
            Pool(1, memory=wrong)
    with pytest.raises(TypeError, match="memory must be a whole number of bytes or None"):
        Executor(1, memory=1.5)


def test_threads_that_wait_for_room_hold_none(small_pool: Pool) -> None:
    # Each waits with an error in hand, whose traceback has the frames of the calls before.
    def ask(thread: int) -> None:
        for turn in range(12):
            array = made(SIZE, thread * 12 + turn)
            assert np.array_equal(small_pool.apply(inverted, (array,)), ~array)
            done.append(1)

    done: list[int] = []
    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 8 * 12


def test_callbacks_that_submit_end_where_room_is_little(small_pool: Pool) -> None:
    ended: list[int] = []
    over = threading.Event()

    def next_one(chain: int, turn: int) -> Any:
        def called(result: Any) -> None:
            if turn == 5:
                ended.append(chain)
                if len(ended) == 6:
                    over.set()
            else:
                next_one(chain, turn + 1)

        return small_pool.apply_async(
            inverted, (made(SIZE, chain * 10 + turn),), callback=called, error_callback=failed
        )

    def failed(error: BaseException) -> None:
        errors.append(error)
        over.set()

    errors: list[BaseException] = []
    for chain in range(6):
        next_one(chain, 0)
    over.wait()
    assert not errors
