"""What processes share lives while somebody has a handle on it, and no longer."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

import procession
from procession import _core
from procession._core import Memory
from tests.plugins.starting import METHODS


def shared_blocks() -> int:
    return _core.arena_statistics()["blocks"]


LARGE = 100_000
"""Bytes; more than a body has, so it can be seen in the arena's statistics."""


def large() -> Memory:
    return Memory(LARGE)


def store(memory: Memory, value: int) -> None:
    memoryview(memory)[0] = value


def stored(memory: Memory) -> int:
    return memoryview(memory)[0]


def run(ctx: Any, target: Callable[..., object], *args: Any) -> None:
    process = ctx.Process(target=target, args=args)
    process.start()
    process.join()
    assert process.exitcode == 0
    process.close()


def test_new_memory_is_zero_even_where_another_one_was() -> None:
    for size in (8, LARGE):
        first = Memory(size)
        memoryview(first)[:] = b"\xff" * size
        del first
        assert bytes(Memory(size)) == bytes(size)


def test_it_ends_with_its_last_handle_here() -> None:
    before = shared_blocks()
    memory = large()
    assert shared_blocks() == before + 1
    view = memoryview(memory)
    del memory
    assert shared_blocks() == before + 1
    view.release()
    gc.collect()
    assert shared_blocks() == before


def test_a_pickle_of_it_is_itself() -> None:
    memory = large()
    assert pickle.loads(pickle.dumps(memory)) is memory


def test_a_pickle_keeps_it_until_it_arrives() -> None:
    before = shared_blocks()
    memory = large()
    store(memory, 7)
    pickled = pickle.dumps(memory)
    del memory
    assert shared_blocks() == before + 1
    arrived = pickle.loads(pickled)
    assert stored(arrived) == 7
    del arrived
    assert shared_blocks() == before
    with pytest.raises(RuntimeError, match="has ended"):
        pickle.loads(pickled)


def test_a_pickling_that_fails_keeps_nothing() -> None:
    from procession._codec.objects import dumps

    before = shared_blocks()
    memory = large()
    with pytest.raises(TypeError):
        dumps((memory, threading.Lock()))
    del memory
    assert shared_blocks() == before


def test_it_travels_as_an_argument(ctx: Any) -> None:
    before = shared_blocks()
    memory = large()
    run(ctx, store, memory, 3)
    assert stored(memory) == 3
    del memory
    _core.sweep()
    assert shared_blocks() == before


def send_a_new_one(end: Any) -> None:
    memory = large()
    store(memory, 5)
    end.send_bytes(pickle.dumps(memory))


def test_it_outlives_the_child_that_made_it(ctx: Any) -> None:
    before = shared_blocks()
    ours, theirs = ctx.Pipe()
    run(ctx, send_a_new_one, theirs)
    _core.sweep()
    memory = pickle.loads(ours.recv_bytes())
    assert stored(memory) == 5
    del memory
    assert shared_blocks() == before
    ours.close()
    theirs.close()


def send_a_new_one_and_die(end: Any) -> None:
    send_a_new_one(end)
    os.kill(os.getpid(), signal.SIGKILL)


def test_it_outlives_the_child_that_made_it_and_was_killed(ctx: Any) -> None:
    ours, theirs = ctx.Pipe()
    process = ctx.Process(target=send_a_new_one_and_die, args=(theirs,))
    process.start()
    process.join()
    _core.sweep()
    assert stored(pickle.loads(ours.recv_bytes())) == 5
    process.close()
    ours.close()
    theirs.close()


def wait_then_tell(memory: Memory, end: Any) -> None:
    end.recv_bytes()
    end.send_bytes(bytes([stored(memory)]))


def test_the_parent_may_drop_it_as_soon_as_the_child_was_started(ctx: Any) -> None:
    before = shared_blocks()
    ours, theirs = ctx.Pipe()
    memory = large()
    store(memory, 9)
    process = ctx.Process(target=wait_then_tell, args=(memory, theirs))
    process.start()
    theirs.close()
    del memory
    gc.collect()
    others = [large() for _ in range(3)]  # would lie where it lay
    ours.send_bytes(b"go")
    assert ours.recv_bytes() == b"\x09"
    process.join()
    process.close()
    ours.close()
    del others
    gc.collect()
    _core.sweep()
    large()  # what was kept for the child is given up at the next occasion
    assert shared_blocks() == before


def test_after_a_fork_of_the_programs_own_it_is_kept_for_the_child_only() -> None:
    before = shared_blocks()
    memory = large()
    store(memory, 6)
    go, tell = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.read(go[0], 1)
        os.write(tell[1], bytes([stored(memory)]))
        os._exit(0)
    del memory
    others = [large() for _ in range(3)]
    os.write(go[1], b"x")
    assert os.read(tell[0], 1) == b"\x06"
    os.waitpid(pid, 0)
    for fd in (*go, *tell):
        os.close(fd)
    del others
    _core.sweep()
    large()
    assert shared_blocks() == before


def hand_on(context_name: str, memory: Memory, value: int) -> None:
    run(procession.get_context(context_name), store, memory, value)


@pytest.mark.parametrize("inner", METHODS)
def test_it_travels_to_grandchildren(ctx: Any, inner: str) -> None:
    memory = large()
    run(ctx, hand_on, inner, memory, 4)
    assert stored(memory) == 4


def give_back(memory: Memory) -> Memory:
    store(memory, stored(memory) + 1)
    return memory


def make_new(value: int) -> Memory:
    memory = large()
    store(memory, value)
    return memory


def test_it_is_an_argument_and_a_result_of_tasks(ctx: Any) -> None:
    memory = large()
    with ctx.Pool(2) as pool:
        assert pool.apply(give_back, (memory,)) is memory
        assert stored(memory) == 1
        assert [stored(m) for m in pool.map(make_new, range(10))] == list(range(10))


def test_what_a_dropped_queue_holds_goes_with_it() -> None:
    before = shared_blocks()
    inner = procession.Queue()
    inner.put(large())
    queue = procession.Queue()
    queue.put_many([large(), inner])
    queue.put(large())
    del inner
    gc.collect()
    assert shared_blocks() > before + 3
    del queue
    gc.collect()
    assert shared_blocks() == before


def test_what_nobody_can_receive_any_more_goes_with_the_pipe() -> None:
    before = shared_blocks()
    ours, theirs = procession.Pipe()
    ours.send(large())
    ours.send_bytes(bytes(1 << 20))
    ours.close()
    assert shared_blocks() == before + 2
    assert isinstance(theirs.recv(), Memory)
    theirs.close()
    gc.collect()
    assert shared_blocks() == before


def send_large_and_die(end: Any) -> None:
    end.send_bytes(bytes(1 << 20))
    end.send(large())
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_the_dead_sent_goes_with_the_pipe(ctx: Any) -> None:
    before = shared_blocks()
    ours, theirs = ctx.Pipe()
    process = ctx.Process(target=send_large_and_die, args=(theirs,))
    process.start()
    theirs.close()
    process.join()
    process.close()
    assert len(ours.recv_bytes()) == 1 << 20
    assert shared_blocks() > before
    ours.close()
    del ours, theirs
    gc.collect()
    assert shared_blocks() == before


@pytest.mark.parametrize("ctx", ["spawn", "forkserver"])
def test_what_a_child_did_not_live_to_unpack_goes_with_it(ctx: str) -> None:
    before = shared_blocks()
    process = procession.get_context(ctx).Process(target=store, args=(large(), 1))
    process.start()
    process.kill()
    process.join()
    process.close()
    del process
    gc.collect()
    assert shared_blocks() == before


def test_a_grandchild_whose_parent_has_ended_has_it_too() -> None:
    memory = large()
    go, tell = os.pipe(), os.pipe()
    middle = os.fork()
    if middle == 0:
        if os.fork() == 0:
            os.read(go[0], 1)  # the one between us has ended, and has been swept
            store(memory, 8)
            os.write(tell[1], b"x")
        os._exit(0)
    os.waitpid(middle, 0)
    _core.sweep()
    os.write(go[1], b"x")
    os.close(tell[1])
    assert os.read(tell[0], 2) == b"x"
    assert os.read(tell[0], 1) == b""  # it has ended
    assert stored(memory) == 8
    for fd in (*go, tell[0]):
        os.close(fd)
    del memory
    _core.sweep()


def test_another_familys_is_refused() -> None:
    memory = large()
    reduced: Any = memory.__reduce__()
    function, (kind, travelled) = reduced
    object_, serial, pin, family, *rest = travelled
    with pytest.raises(RuntimeError, match="another family"):
        function(kind, (object_, serial, pin, family + 1, *rest))
    _core.withdraw_pins(_core.pins_made() - 1)


def test_many_made_and_dropped_take_no_more_room() -> None:
    for _ in range(100):
        large()
    used = _core.arena_statistics()["used"]
    for _ in range(1000):
        large()
        Memory(16)
    assert _core.arena_statistics()["used"] <= used
    assert _core.validate() is None
