"""Workers that are replaced by and by, and what they keep in memory meanwhile."""

from __future__ import annotations

import os
import weakref
from typing import Any

from tests.field.doors import Door, Pool, mp, square
from tests.worker.hoarding import hoard

_seen: list[weakref.ref[Any]] = []


class Kept:
    """Something that can be seen to be let go of."""


def _keep(argument: Kept) -> Kept:
    result = Kept()
    _seen.extend([weakref.ref(argument), weakref.ref(result)])
    return result


def _what_is_kept() -> list[bool]:
    return [reference() is not None for reference in _seen]


def _grow(size: int) -> int:
    hoard(size)
    return os.getpid()


def _pid(_: object) -> int:
    return os.getpid()


def _limit(door: type[Door], tasks: int) -> dict[str, Any]:
    return {"maxtasksperchild" if door.name == "Pool" else "max_tasks_per_child": tasks}


def test_workers_that_are_replaced_after_each_task_lose_none(door: type[Door]) -> None:
    with door(2, **_limit(door, 1)) as pool:
        results = [pool.submit(square, x) for x in range(60)]
        assert [pool.get(result) for result in results] == [x * x for x in range(60)]


def test_workers_are_replaced_as_often_as_was_said(door: type[Door]) -> None:
    with door(1, **_limit(door, 5)) as pool:
        pids = [pool.call(_pid, x) for x in range(20)]
    assert len(set(pids)) == 4
    assert pids == sorted(pids, key=pids.index)
    assert all(pids.count(pid) == 5 for pid in pids)


def test_workers_that_are_replaced_do_not_hang_behind_a_slow_caller(door: type[Door]) -> None:
    with door(3, **_limit(door, 2)) as pool:
        for x in range(30):
            assert pool.call(square, x) == x * x  # each alone: all but one worker are idle


def test_the_end_comes_although_workers_are_being_replaced(door: type[Door]) -> None:
    for _ in range(5):
        with door(2, **_limit(door, 1)) as pool:
            results = [pool.submit(square, x) for x in range(10)]
            if door.name == "Pool":
                pool.made.close()
                pool.made.join()
            else:
                pool.made.shutdown()
            assert [pool.get(result) for result in results] == [x * x for x in range(10)]


def test_a_worker_that_grows_is_replaced(door: type[Door]) -> None:
    with door(1, max_memory=64 << 20) as pool:
        first = pool.call(_grow, 200 << 20)
        while pool.call(_pid, 0) == first:  # it works on until its successor is there
            pass
        assert pool.call(square, 7) == 49


def test_a_worker_keeps_neither_arguments_nor_results(door: type[Door]) -> None:
    with door(1) as pool:
        pool.call(_keep, Kept())
        assert pool.call(_what_is_kept) == [False, False]


def test_the_parent_keeps_no_arguments_of_what_is_done(door: type[Door]) -> None:
    with door(1) as pool:
        given = Kept()
        seen = weakref.ref(given)
        result = pool.submit(_pid, given)
        pool.get(result)
        del given
        assert seen() is None


def test_a_state_of_the_worker_s_is_tidied_up_at_its_end(tmp_path: Any) -> None:
    with Pool(1, initializer=_open, initargs=(tmp_path,), finalizer=_note_end) as pool:
        pool.apply(square, (7,))
        pool.close()
        pool.join()
    assert (tmp_path / "ended").read_text() == "ended"


def _open(folder: Any) -> Any:
    return folder


def _note_end() -> None:
    (mp.worker_state() / "ended").write_text("ended")
