"""What is sent to each node once: functions and what was share()d, on an engine made for this."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy
import pytest

import procession
from procession._backends.abilities import Ability
from procession._backends.opening import Choice
from procession._backends.publishing import LEAST_PUT
from procession._backends.seam import Loss
from procession.pool import Pool
from tests.contract.tasks import double


class _Store:
    """An engine whose workers are threads, and that keeps objects as bytes."""

    name = "store"
    abilities = frozenset({Ability.BROADCAST})
    piece_ns = 1_000_000
    has_more = False

    def __init__(self) -> None:
        self.kept: list[bytes] = []
        self.named: list[int] = []
        self._threads = ThreadPoolExecutor(2)

    def workers(self) -> int:
        return 2

    def submit(self, run: Callable[..., Any], request: Any, handles: Sequence[Any]) -> Future[Any]:
        self.named += handles
        values = [pickle.loads(self.kept[handle]) for handle in handles]
        return self._threads.submit(run, pickle.loads(pickle.dumps(request)), *values)

    def put(self, value: Any) -> int:
        self.kept.append(pickle.dumps(value, 5))
        return len(self.kept) - 1

    def stop(self, future: Future[Any]) -> bool:
        return future.cancel()

    def loss(self, error: BaseException) -> Loss | None:
        return None

    def close(self, *, kill: bool) -> None:
        self._threads.shutdown(wait=not kill)


@pytest.fixture
def store() -> _Store:
    return _Store()


@pytest.fixture
def pool(store: _Store) -> Iterator[Pool]:
    with Pool(2, backend=Choice("store", store.abilities, lambda _: store)) as pool:
        yield pool
    pool.join()


def test_what_is_shared_is_kept_once(store: _Store, pool: Pool) -> None:
    array = procession.share(numpy.arange(100_000))
    for _ in range(3):
        assert pool.apply(numpy.sum, (array,)) == array.sum()
    assert (
        pool.map(numpy.sum, [array[:10_000], array[90_000:]] * 5, 1)
        == [
            array[:10_000].sum(),
            array[90_000:].sum(),
        ]
        * 5
    )
    assert len(store.kept) == 1
    assert len(store.named) == 13


def test_two_shared_arrays_in_one_task(store: _Store, pool: Pool) -> None:
    one = procession.share(numpy.arange(10_000))
    other = procession.share(numpy.ones(10_000))
    assert pool.apply(numpy.dot, (one, other)) == one.sum()
    assert len(store.kept) == 2


def test_a_small_function_goes_with_each_task(store: _Store, pool: Pool) -> None:
    assert pool.map(double, range(20), 1) == list(range(0, 40, 2))
    assert store.kept == []


def test_a_large_function_is_kept_once(store: _Store, pool: Pool) -> None:
    table = tuple(range(LEAST_PUT))
    for _ in range(3):
        assert pool.map(lambda item: table[item], [5, 7], 1) == [5, 7]
    large = [len(kept) for kept in store.kept]
    assert min(large) > LEAST_PUT
    call = lambda item: table[item]  # noqa: E731
    before = len(store.kept)
    for item in range(5):
        assert pool.apply(call, (item,)) == item
    assert len(store.kept) == before + 1


def test_what_is_written_to_is_not_shared(pool: Pool) -> None:
    array = procession.share(numpy.arange(10_000))

    def write(given: Any) -> None:
        given[0] = 1

    with pytest.raises(ValueError, match="read-only"):
        pool.apply(write, (array,))
