"""What memory is for, as the tables of a family tell it: of this very process's family."""

from __future__ import annotations

import gc
import pickle
import signal
from typing import Any

import numpy as np

import procession

LARGE = 1 << 20


def used(kind: str) -> tuple[int, int]:
    """Bytes and blocks of this kind."""
    part = procession.memory().kinds[kind]
    return part.bytes, part.blocks


def stay(array: Any, begun: Any) -> None:
    begun.put(array.nbytes)
    signal.pause()


def make(size: int) -> Any:
    return np.ones(size, "u1")


def test_arguments() -> None:
    begun = procession.SimpleQueue()
    with procession.Pool(1) as pool:
        assert used("arguments") == (0, 0)
        pool.apply_async(stay, (np.zeros(LARGE, "u1"), begun))
        assert begun.get() == LARGE
        size, blocks = used("arguments")
        assert blocks == 1
        assert size >= LARGE
        # The parent keeps them for a retry, the worker looks at them.
        (block,) = (it for it in procession.memory().largest if it.kind == "arguments")
        assert len(block.pids) == 2
    pool.join()
    assert used("arguments") == (0, 0)


def test_results() -> None:
    with procession.Pool(1) as pool:
        kept = pool.apply(make, (LARGE,))
    pool.join()
    size, blocks = used("results")
    assert blocks == 1
    assert size >= kept.nbytes
    del kept
    assert used("results") == (0, 0)


def test_what_came_out_of_a_queue() -> None:
    gc.collect()  # what others have left in circles
    queue = procession.SimpleQueue()
    queue.put(make(LARGE))
    size, _ = used("queues")
    assert size >= LARGE
    assert used("results") == (0, 0)
    taken = queue.get()
    assert taken.sum() == LARGE
    assert used("results")[1] == 1
    assert used("queues")[0] < LARGE


def test_values() -> None:
    values = procession.RawArray("b", LARGE)
    assert used("values") == (LARGE, 1)
    del values
    assert used("values") == (0, 0)


def test_what_is_shared() -> None:
    shared = procession.share(make(LARGE))
    assert used("shared") == (LARGE, 1)
    assert used("arguments") == (0, 0)
    del shared
    assert used("shared") == (0, 0)


def test_channels() -> None:
    before = used("channels")
    with procession.Pool(1) as pool:
        assert pool.apply(len, ("three",)) == 5
        assert used("channels") > before
    pool.join()
    assert used("channels") == before


def test_what_was_freed_is_kept_warm() -> None:
    shared = procession.share(make(LARGE))
    before = procession.memory()
    del shared
    after = procession.memory()
    assert after.in_use == before.in_use - LARGE
    assert after.warm == before.warm + LARGE
    assert after.budget == before.budget > 0


def test_a_snapshot_can_be_sent() -> None:
    with procession.Pool(1) as pool:
        seen = pool.apply(procession.memory)
    assert seen.budget == procession.memory().budget
    assert pickle.loads(pickle.dumps(seen)) == seen


def test_so_can_the_error() -> None:
    error = procession.ArenaFull(4, 3, 2, 1)
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is procession.ArenaFull
    assert (back.asked, back.budget, back.in_use, back.warm) == (4, 3, 2, 1)
    assert isinstance(back, MemoryError)
