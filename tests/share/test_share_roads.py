"""What is shared goes by reference on every road, under every start method."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import procession
from procession._core import Memory
from tests.share import places
from tests.share.conftest import Start
from tests.share.places import Array, place, refuses_writes

COUNT = 100_000

Road = Callable[[Any, Start, Array], Any]


def by_apply(ctx: Any, start: Start, array: Array) -> Any:
    with ctx.Pool(1) as pool:
        return pool.apply(places.look, (array,))


def by_map(ctx: Any, start: Start, array: Array) -> Any:
    with ctx.Pool(2) as pool:
        return pool.map(places.look, [array] * 5)[3]


def by_imap(ctx: Any, start: Start, array: Array) -> Any:
    with ctx.Pool(2) as pool:
        return [*pool.imap(places.look, [array] * 5)][3]


def by_retries(ctx: Any, start: Start, array: Array) -> Any:
    with ctx.Pool(1, retries=2) as pool:
        return pool.apply(places.look, (array,))


def by_executor(ctx: Any, start: Start, array: Array) -> Any:
    with procession.Executor(1, ctx) as executor:
        return executor.submit(places.look, array).result()


def by_initializer(ctx: Any, start: Start, array: Array) -> Any:
    with ctx.Pool(1, initializer=places.look, initargs=(array,)) as pool:
        return pool.apply(procession.worker_state)


def by_process(ctx: Any, start: Start, array: Array) -> Any:
    answers = ctx.SimpleQueue()
    start(places.put_look, array, answers, ctx=ctx)
    return answers.get()


def by_queue(ctx: Any, start: Start, array: Array) -> Any:
    questions, answers = ctx.Queue(), ctx.SimpleQueue()
    start(places.look_at_next, questions, answers, ctx=ctx)
    questions.put(array)
    return answers.get()


def by_pipe(ctx: Any, start: Start, array: Array) -> Any:
    here, there = ctx.Pipe()
    with here, there:
        start(places.look_at_received, there, ctx=ctx)
        here.send(array)
        return here.recv()


ROADS = {
    road.__name__.removeprefix("by_"): road
    for road in (
        by_apply,
        by_map,
        by_imap,
        by_retries,
        by_executor,
        by_initializer,
        by_process,
        by_queue,
        by_pipe,
    )
}


@pytest.mark.parametrize("road", ROADS)
def test_all_processes_look_at_the_same_bytes(road: str, ctx: Any, start: Start) -> None:
    array = procession.share(np.arange(COUNT))
    seen = ROADS[road](ctx, start, array)
    assert seen == (place(array), True, sum(range(COUNT)))


@pytest.mark.parametrize("road", ["apply", "map", "process", "queue", "pipe"])
def test_so_does_a_slice(road: str, start: Start) -> None:
    array = procession.share(np.arange(COUNT))
    part = array.reshape(100, -1)[20:30]
    seen = ROADS[road](procession.get_context("fork"), start, part)
    memory, offset = place(array) or (None, 0)
    assert seen == ((memory, offset + 20 * 8 * COUNT // 100), True, int(part.sum()))


def test_and_a_small_slice() -> None:
    array = procession.share(np.arange(COUNT))
    memory, offset = place(array) or (None, 0)
    with procession.Pool(1) as pool:
        seen = pool.apply(places.look, (array[1024 : 1024 + 512],))
        assert seen[0] == (memory, offset + 8 * 1024)
        # Too small to be worth a name.
        copied, protected, total = pool.apply(places.look, (array[1024 : 1024 + 511],))
        assert copied is None
        assert protected
        assert total == sum(range(1024, 1024 + 511))


def test_what_is_in_containers(ctx: Any) -> None:
    nested = procession.share(
        {"arrays": [np.arange(COUNT), (np.arange(COUNT),)], "bytes": bytes(COUNT)}
    )
    with ctx.Pool(1) as pool:
        assert pool.apply(places.look_into, (nested,)) == places.look_into(nested)
        # And in containers that are made anew.
        other = {"arrays": nested["arrays"], "bytes": nested["bytes"][5:]}
        assert pool.apply(places.look_into, (other,)) == places.look_into(other)


def test_what_a_closure_captured(ctx: Any) -> None:
    array = procession.share(np.arange(COUNT))

    def where(index: int) -> Any:
        return place(array), int(array[index])

    with ctx.Pool(2) as pool:
        assert pool.map(where, range(20)) == [(place(array), index) for index in range(20)]


def test_what_a_closure_of_a_process_captured(start: Start) -> None:
    array = procession.share(np.arange(COUNT))
    answers = procession.SimpleQueue()
    for method in ("fork", "spawn", "forkserver"):
        ctx = procession.get_context(method)
        start(places.call, lambda: place(array), answers, ctx=ctx)
        assert answers.get() == place(array)


def test_a_result_that_a_worker_shared(ctx: Any) -> None:
    with ctx.Pool(1) as pool:
        array = pool.apply(places.share_new, (COUNT,))
        assert refuses_writes(array)
        # Sent on, it is a reference, too.
        assert pool.apply(places.look, (array,)) == (place(array), True, sum(range(COUNT)))
    pool.join()
    assert array.sum() == sum(range(COUNT))
    assert places.shared_blocks() == 1


def test_a_result_that_was_an_argument() -> None:
    array = procession.share(np.arange(COUNT))
    with procession.Pool(1) as pool:
        part = pool.apply(np.ndarray.__getitem__, (array, slice(5000, 9000)))
    memory, offset = place(array) or (None, 0)
    assert place(part) == (memory, offset + 8 * 5000)


def test_forked_processes_have_what_was_shared_before(start: Start) -> None:
    array = procession.share(np.arange(COUNT))
    answers = procession.SimpleQueue()
    start(places.call, lambda: places.look(array), answers)
    assert answers.get() == (place(array), True, sum(range(COUNT)))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_no_page_is_copied(method: str) -> None:
    """256 MiB, read whole by 64 tasks: no process has more memory of its own for that."""
    size = 256 << 20
    array = procession.share(np.ones(size // 8))
    before = procession.memory()
    assert before.kinds["shared"].bytes >= size
    with procession.get_context(method).Pool(2) as pool:
        pool.map(places.read_all, [array[:512]] * 4)  # the first use of numpy takes memory
        during = procession.memory()
        for total, own, family in pool.imap_unordered(places.read_all, [array] * 64):
            assert total == size / 8
            assert own < 16 << 10  # KiB
            assert family < 1 << 20
        assert procession.memory().in_use - during.in_use < 1 << 20
    assert procession.memory().kinds["shared"] == before.kinds["shared"]


def test_references_are_small() -> None:
    """Whatever is under way: one block of shared memory, and none of arguments."""
    array = procession.share(np.arange(COUNT))
    queue = procession.Queue()
    empty = procession.memory()
    for _ in range(100):
        queue.put(array)
    full = procession.memory()
    assert full.kinds["shared"] == empty.kinds["shared"]
    assert full.in_use - empty.in_use < array.nbytes
    for _ in range(100):
        assert place(queue.get()) == place(array)


def test_the_same_memory_is_one_handle() -> None:
    array = procession.share(np.arange(COUNT))
    queue = procession.SimpleQueue()
    queue.put(array)
    again = queue.get()
    found, same = Memory.at(again.data), Memory.at(array.data)
    assert found is not None
    assert same is not None
    assert found[0] is same[0]
