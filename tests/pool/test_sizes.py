"""Large payloads, many tasks, and rings that are full while nobody waits."""

from __future__ import annotations

import hashlib
import threading
from typing import Any

import pytest

from procession._core import INLINE_LIMIT, arena_statistics, validate
from procession.pool import Pool
from tests.pool.gates import Gate, Log


def _echo(data: Any) -> Any:
    return data


def _digest(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


def _bytes(size: int) -> bytes:
    return b"\xab" * size


def _square(x: int) -> int:
    return x * x


def test_a_hundred_megabytes_there_and_back(pool: Pool) -> None:
    data = bytes(range(256)) * (100 * 4096)
    assert len(data) == 100 << 20
    assert pool.apply(_echo, (data,)) == data


@pytest.mark.parametrize(
    "size", [INLINE_LIMIT + delta for delta in (-100, -40, -20, -1, 0, 1, 100)]
)
def test_sizes_about_the_one_from_which_payloads_travel_in_blocks(pool: Pool, size: int) -> None:
    data = _bytes(size)
    assert pool.apply(_echo, (data,)) == data
    assert pool.map(_echo, [data, data], 1) == [data] * 2
    assert list(pool.imap(_echo, [data] * 3)) == [data] * 3
    assert pool.apply(_bytes, (size,)) == data
    assert pool.apply(len, (data,)) == size


@pytest.mark.parametrize("size", [20_000, 100_000])
def test_many_large_arguments_and_results(pool: Pool, size: int) -> None:
    datas = [bytes([x % 251]) * size for x in range(300)]
    results = [pool.apply_async(_echo, (data,)) for data in datas]
    assert [result.get() for result in results] == datas
    assert pool.map(_digest, datas) == [_digest(data) for data in datas]
    assert list(pool.imap(_echo, datas, 3)) == datas
    assert len(list(pool.imap_unordered(_echo, iter(datas)))) == 300


def test_blocks_of_large_payloads_are_given_back(pool: Pool) -> None:
    pool.map(_echo, [_bytes(100_000)] * 4, 1)
    before = arena_statistics()["blocks"]
    for _ in range(5):
        pool.map(_echo, [_bytes(100_000)] * 20, 1)
        pool.apply(_echo, (_bytes(1_000_000),))  # shorter than what is noticed to repeat
        list(pool.imap(_echo, [_bytes(50_000)] * 20))
    assert arena_statistics()["blocks"] <= before + 1  # perhaps a worker came late to its seat
    assert validate() is None


def test_more_tasks_than_the_ring_holds(gate: Gate) -> None:
    with Pool(2) as pool:
        held = [pool.apply_async(gate.pass_through) for _ in range(2)]
        results = [pool.apply_async(_square, (x,)) for x in range(50_000)]
        assert not results[0].ready()  # so all of them are outstanding
        gate.open(2)
        assert [result.get() for result in results] == [x * x for x in range(50_000)]
        assert [result.get() for result in held] == [None, None]
    pool.join()


def test_a_full_task_ring_and_nobody_who_waits(gate: Gate, log: Log) -> None:
    pool = Pool(2)
    held = [pool.apply_async(gate.pass_through) for _ in range(2)]
    results = [pool.apply_async(_square, (x,)) for x in range(30_000)]
    last = pool.apply_async(log.write, ("last",))
    gate.open(2)
    pool.close()
    pool.join()
    assert log.lines() == ["last"]
    assert all(result.ready() for result in (*held, *results, last))


def test_more_results_than_the_ring_holds_and_nobody_who_collects(pool: Pool) -> None:
    results = [pool.apply_async(_square, (x,)) for x in range(100_000)]
    done = threading.Event()
    pool.apply_async(_square, (1,), callback=lambda _: done.set())
    done.wait()
    assert [result.get() for result in results] == [x * x for x in range(100_000)]


def test_large_results_that_nobody_collects(pool: Pool) -> None:
    results = [pool.apply_async(_bytes, (15_000,)) for _ in range(1000)]
    results += [pool.apply_async(_bytes, (50_000,)) for _ in range(500)]
    pool.close()
    pool.join()
    assert sum(len(result.get()) for result in results) == 1000 * 15_000 + 500 * 50_000


def test_full_rings_both_ways(gate: Gate) -> None:
    # Both rings are full at once: the workers wait for room, and so do the tasks behind them.
    with Pool(2) as pool:
        data = _bytes(15_000)
        results = [pool.apply_async(_echo, (data,)) for _ in range(3000)]
        mapped = pool.map_async(_echo, [data] * 500, 1)
        stream = pool.imap(_echo, [data] * 500)
        assert all(result.get() == data for result in results)
        assert mapped.get() == [data] * 500
        assert list(stream) == [data] * 500
    pool.join()


def test_a_map_without_room_for_its_results_is_an_error_at_once(pool: Pool) -> None:
    with pytest.raises(MemoryError):
        pool.map(_square, range(10**13))
    assert pool.map(_square, range(4)) == [0, 1, 4, 9]


def test_many_items_of_one_map(pool: Pool) -> None:
    assert pool.map(_square, range(300_000)) == [x * x for x in range(300_000)]


def test_the_arena_that_can_not_grow_is_an_error_of_that_call(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = pool._engine.send

    def no_room(record: Any) -> bool:
        if len(record.payload) > INLINE_LIMIT:
            raise MemoryError("the shared arena can not grow")
        return send(record)

    monkeypatch.setattr(pool._engine, "send", no_room)
    data = _bytes(50_000)
    with pytest.raises(MemoryError):
        pool.apply(_echo, (data,))
    with pytest.raises(MemoryError):
        pool.map(_echo, [data] * 3, 1)
    assert isinstance(_error(lambda: next(pool.imap(_echo, [data]))), MemoryError)
    stream = pool.imap(len, [b"1", data, b"333"])
    assert next(stream) == 1
    assert isinstance(_error(lambda: next(stream)), MemoryError)
    assert list(stream) == [3]
    assert pool.map(_square, range(10)) == [x * x for x in range(10)]


def _error(call: Any) -> BaseException:
    with pytest.raises(MemoryError) as caught:
        call()
    return caught.value
