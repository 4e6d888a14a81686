"""Values and arrays go to every process by every way, and are the same bytes there."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing.sharedctypes
import os
import pickle
import threading
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np
import pytest

import procession
from procession import _core, sharedctypes
from procession._codec import objects
from procession.errors.sync import OwnerDied
from tests.sharedctypes import travellers
from tests.sharedctypes.travellers import change_all, is_changed, make_all


def blocks() -> int:
    """How many blocks the arena has, once nothing is left that only waits for its end."""
    gc.collect()
    _core.sweep()
    return _core.arena_statistics()["blocks"]


def test_as_arguments_of_a_process_and_back_through_a_pipe(ctx: Any) -> None:
    made = make_all()
    here, there = ctx.Pipe()
    with here, there:
        child = ctx.Process(target=travellers.change_and_send, args=(there, made))
        child.start()
        came = here.recv()
        child.join()
        child.close()
    assert is_changed(made)
    assert {name: type(value) for name, value in came.items()} == {
        name: type(value) for name, value in made.items()
    }
    came["array"][0] = 100
    assert made["array"][0] == 100


def test_as_tasks_and_results_of_a_pool(ctx: Any) -> None:
    with ctx.Pool(1) as pool:
        made = make_all()
        came = pool.apply(change_all, (made,))
        assert is_changed(made)
        assert is_changed(came)
        new = pool.apply(make_all)
        pool.apply(change_all, (new,))
        assert is_changed(new)
        array = sharedctypes.RawArray("i", 3)
        pool.map(travellers.add_one, [array] * 5, chunksize=2)
        assert array[:] == [5, 5, 5]
    pool.join()


def test_through_a_queue(ctx: Any) -> None:
    queue = ctx.SimpleQueue()
    made = make_all()
    queue.put(made)
    change_all(queue.get())
    assert is_changed(made)
    queue.close()


@pytest.mark.parametrize("dumps", [objects.dumps, objects.dumps_by_value])
def test_as_bytes(dumps: Any) -> None:
    made = make_all()
    change_all(objects.loads(dumps(made)))
    assert is_changed(made)


def test_to_grandchildren(ctx: Any) -> None:
    array = sharedctypes.RawArray("i", [1, 2])
    here, there = ctx.Pipe()
    with here, there:
        method = ctx.get_start_method()
        child = ctx.Process(target=travellers.add_through_a_grandchild, args=(there, method, array))
        child.start()
        assert here.recv() == array[:] == [2, 3]
        child.join()
        child.close()


def test_many_count_with_one_lock(ctx: Any) -> None:
    counter = sharedctypes.Value("q", ctx=ctx)
    children = [ctx.Process(target=travellers.count, args=(counter, 200)) for _ in range(3)]
    for child in children:
        child.start()
    travellers.count(counter, 200)
    for child in children:
        child.join()
        assert child.exitcode == 0
        child.close()
    assert counter.value == 800


def test_one_who_dies_in_the_middle_of_a_change_is_reported(ctx: Any) -> None:
    balance = sharedctypes.Value("i", 5)
    child = ctx.Process(target=travellers.die_while_changing, args=(balance,))
    child.start()
    child.join()
    child.close()
    with pytest.raises(OwnerDied):
        _ = balance.value
    with pytest.raises(OwnerDied):
        balance.value = 1
    assert balance.get_obj().value == 6
    assert balance.get_lock().recover()
    balance.value = 7
    balance.release()
    assert balance.value == 7


def test_what_an_initializer_gave(ctx: Any) -> None:
    total = sharedctypes.Value("i", ctx=ctx)
    with ctx.Pool(2, travellers.keep, (total,)) as pool:
        pool.map(travellers.add_to_kept, range(20))
    pool.join()
    assert total.value == 190


@pytest.mark.parametrize("end", ["returns", "killed"])
def test_what_a_child_made_outlives_it(ctx: Any, end: str) -> None:
    before = blocks()
    here, there = ctx.Pipe()
    with here, there:
        child = ctx.Process(target=travellers.send_new_ones, args=(there, end))
        child.start()
        came = here.recv()
        here.send("arrived")
        child.join()
        assert child.exitcode == (0 if end == "returns" else -9)
        child.close()
    assert is_changed(came)
    came["large"][0] = 1
    del came
    assert blocks() == before


def test_what_is_on_its_way_outlives_a_child_that_has_returned(ctx: Any) -> None:
    before = blocks()
    here, there = ctx.Pipe()
    with here, there:
        child = ctx.Process(target=travellers.send_new_ones, args=(there, "returns"))
        child.start()
        child.join()
        child.close()
        _core.sweep()
        came = here.recv()
    assert is_changed(came)
    del came
    assert blocks() == before


def test_a_child_has_what_its_parent_has_dropped(ctx: Any) -> None:
    before = blocks()
    here, there = ctx.Pipe()
    with here, there:
        array = sharedctypes.RawArray("i", 50_000)
        child = ctx.Process(target=travellers.wait_then_add, args=(there, array))
        child.start()
        array[1] = 5
        del array
        gc.collect()
        other = sharedctypes.RawArray("i", [9] * 50_000)
        here.send("go on")
        assert here.recv() == 6
        here.send("end")
        child.join()
        child.close()
        assert other[0] == 9
        del other
    assert blocks() == before


@pytest.mark.may_leak(reason="what a strange fork's child may need is kept to the end")
def test_a_plain_fork_has_it_too() -> None:
    array = sharedctypes.RawArray("i", 50_000)
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.read(told, 1)
            array[0] += 1
            os._exit(array[0])
        finally:
            os._exit(99)
    array[0] = 4
    address = ctypes.addressof(array)
    del array
    other = sharedctypes.RawArray("i", 50_000)
    assert ctypes.addressof(other) != address
    os.write(tell, b"x")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5
    os.close(told)
    os.close(tell)


def test_a_structure_that_cannot_be_imported_travels_by_fork() -> None:
    class Local(ctypes.Structure):
        _fields_ = (("x", ctypes.c_int),)

    made = sharedctypes.RawArray(Local, 2)

    def change() -> None:
        made[1].x = 5

    child = procession.get_context("fork").Process(target=change)
    child.start()
    child.join()
    child.close()
    assert made[1].x == 5


def test_a_lock_that_cannot_travel_says_so() -> None:
    value = sharedctypes.Value("i", lock=threading.Lock())
    with pytest.raises(TypeError, match="cannot pickle '_thread.lock' object"):
        objects.dumps(value)


def test_numpy_arrays_on_both_sides(ctx: Any) -> None:
    made = sharedctypes.RawArray("i", 1000)
    view = np.frombuffer(made, dtype="i")
    with ctx.Pool(1) as pool:
        pool.apply(travellers.add_one, (made,))
    pool.join()
    assert view.sum() == 1000


def test_what_the_standard_library_tells_its_pickler_is_not_for_ours() -> None:
    from_before = sharedctypes.RawValue("f", 1)
    theirs = multiprocessing.sharedctypes.RawValue("f", 2)
    made = sharedctypes.RawValue("f", 3)
    for ours in (from_before, made):
        came = pickle.loads(ForkingPickler.dumps(ours))
        came.value += 10
        assert ours.value == came.value
    with pytest.raises(RuntimeError, match="only be shared between processes through inheritance"):
        ForkingPickler.dumps(theirs)
