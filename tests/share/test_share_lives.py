"""What is shared lives as long as somebody looks, and is given back then, however he ended."""

from __future__ import annotations

import os
import signal
from typing import Any

import numpy as np
import pytest

import procession
from procession import _core
from tests.share import places
from tests.share.conftest import Start
from tests.share.places import place, shared_blocks

COUNT = 100_000


def await_blocks(count: int) -> None:
    """Wait until so many blocks of shared things are left: whoever died is swept."""
    while shared_blocks() != count:
        _core.sweep()
        os.sched_yield()


def test_the_last_holder_may_be_a_child(ctx: Any, start: Start) -> None:
    here, there = ctx.Pipe()
    with here, there:
        array = procession.share(np.arange(COUNT))
        where = place(array)
        child = start(places.hold, array, there, ctx=ctx)
        assert here.recv() == where
        child._args = ()  # a process object has its arguments
        del array
        assert shared_blocks() == 1
        child.kill()
        child.join()
        await_blocks(0)


def test_who_made_it_may_be_killed(ctx: Any, start: Start) -> None:
    here, there = ctx.Pipe()
    with here, there:
        child = start(places.share_and_hold, COUNT, there, ctx=ctx)
        array = here.recv()
        child.kill()
        child.join()
        assert array.sum() == sum(range(COUNT))
        assert shared_blocks() == 1
        del array
        await_blocks(0)


def test_what_lies_in_a_queue_is_kept_by_it() -> None:
    queue = procession.Queue()
    queue.put(procession.share(np.arange(COUNT)))
    assert shared_blocks() == 1
    array = queue.get()
    assert array.sum() == sum(range(COUNT))
    queue.put(array)
    del array
    assert shared_blocks() == 1
    queue.close()
    del queue
    assert shared_blocks() == 0


def test_what_was_sent_to_one_that_dies_before_it_looks(start: Start) -> None:
    here, there = procession.Pipe()
    with here, there:
        child = start(signal.pause)
        here.send(procession.share(np.arange(COUNT)))
        assert shared_blocks() == 1
        child.kill()
        child.join()
    del here, there
    await_blocks(0)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_task_that_dies_with_it(method: str) -> None:
    array = procession.share(np.arange(COUNT))
    with procession.get_context(method).Pool(2) as pool:
        with pytest.raises(procession.WorkerDied):
            pool.apply(places.die, (array,))
        assert pool.apply(places.look, (array,)) == (place(array), True, sum(range(COUNT)))
    pool.join()
    assert array.sum() == sum(range(COUNT))
    assert shared_blocks() == 1
    del array
    await_blocks(0)


def test_a_retry_finds_it_unharmed(tmp_path: Any) -> None:
    array = procession.share(np.arange(COUNT))
    mark = tmp_path / "tried"

    def look_at_second(given: places.Array) -> Any:
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return places.look(given)

    with procession.Pool(1, retries=1, on_death="retry") as pool:
        seen = pool.apply(look_at_second, (array,))
    assert seen == (place(array), True, sum(range(COUNT)))


def test_a_pool_that_is_terminated_keeps_nothing() -> None:
    with procession.Pool(2) as pool:
        array = procession.share(np.arange(COUNT))
        pool.map(places.look, [array] * 10)
        begun = procession.SimpleQueue()
        held = [pool.apply_async(places.hold_in_task, (array, begun)) for _ in range(2)]
        assert begun.get() == begun.get() == place(array)
        waiting = [pool.apply_async(places.look, (array,)) for _ in range(5)]
        del array, held, waiting
    pool.join()
    await_blocks(0)


def test_many_are_shared_and_dropped() -> None:
    before = procession.memory().in_use
    for _ in range(200):
        procession.share(np.empty(1 << 20, "u1"))
    assert shared_blocks() == 0
    assert procession.memory().in_use == before
    assert _core.validate() is None
