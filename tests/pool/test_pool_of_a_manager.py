"""A manager's pool is ours: a worker that dies costs its task and nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

import procession
from procession import WorkerDied


def _exit() -> None:
    os._exit(3)


@pytest.fixture
def pool() -> Iterator[Any]:
    with procession.Manager() as manager:
        yield manager.Pool(2)


def test_it_does_what_a_pool_does(pool: Any) -> None:
    assert pool.map(abs, [-1, -2]) == [1, 2]
    assert list(pool.imap(abs, [-3, -4])) == [3, 4]
    result = pool.apply_async(abs, (-5,))
    assert (result.get(), result.ready(), result.successful()) == (5, True, True)
    pool.close()
    pool.join()


def test_it_loses_one_task(pool: Any) -> None:
    with pytest.raises(WorkerDied):
        pool.apply(_exit)
    assert pool.map(abs, range(-3, 0)) == [3, 2, 1]
