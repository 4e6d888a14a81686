"""Queues between processes: however they are started, and however they end."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import procession
from procession import _core
from procession._launch import stdlib
from procession.connection import Pipe
from procession.errors.sync import OwnerDied
from procession.queues import Empty, JoinableQueue, Queue, SimpleQueue
from tests.plugins.scripts import LIMIT
from tests.queues import targets

LARGE = _core.INLINE_LIMIT + 1
METHODS = ["fork", "spawn", "forkserver"]

Start = Callable[..., Any]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a process; it is killed at the end, if it still runs."""
    started: list[Any] = []

    def begin(target: Callable[..., object], *args: Any, method: str = "fork", **more: Any) -> Any:
        process = procession.get_context(method).Process(target=target, args=args, kwargs=more)
        process.start()
        started.append(process)
        return process

    yield begin
    for process in started:
        with contextlib.suppress(ValueError):
            process.kill()
            process.join()
            process.close()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", [Queue, JoinableQueue, SimpleQueue])
def test_there_and_back(kind: Any, method: str, start: Start) -> None:
    there, back = kind(), kind()
    process = start(targets.echo, there, back, method=method)
    for thing in (1, "two", bytes(LARGE), [3.0, {"four": None}]):
        there.put(thing)
        assert back.get() == thing
    there.put(None)
    process.join()
    assert process.exitcode == 0


def test_a_queue_of_before_the_fork_is_used_by_grandchildren(start: Start) -> None:
    queue = Queue()

    def child() -> None:
        grandchild = procession.get_context("fork").Process(target=queue.put, args=("hello",))
        grandchild.start()
        grandchild.join()

    process = start(child)
    assert queue.get() == "hello"
    process.join()


def test_a_queue_travels_through_a_queue_and_so_does_a_connection(start: Start) -> None:
    outer, inner = Queue(), Queue()
    near, far = Pipe()
    with near, far:
        process = start(targets.send_back, outer)
        inner.put(1)
        outer.put((inner, far))
        assert near.recv() == "by the connection"
        process.join()
        assert inner.get() == 2
    # The thread that the connection's descriptor was handed over by.
    stdlib.borrow("resource_sharer").stop(timeout=LIMIT)


def test_a_queue_arrives_where_it_is_known_as_the_same(start: Start) -> None:
    outer, inner = Queue(), Queue()
    outer.put([inner, inner])
    first, second = outer.get()
    assert first is second is inner


def test_a_subclass_may_take_more_along(start: Start) -> None:
    process = start(targets.put_all, Named("name"), [1], method="spawn")
    process.join()
    assert process.exitcode == 0


class Named(Queue):
    """Its state is written as for the standard library's queues."""

    def __init__(self, name: str) -> None:
        super().__init__(ctx=procession.get_context())
        self.name = name

    def __getstate__(self) -> tuple[Any, ...]:
        return (*super().__getstate__(), self.name)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        super().__setstate__(state[:-1])
        self.name = state[-1]

    def put(self, obj: Any, block: bool = True, timeout: float | None = None) -> None:
        assert self.name == "name"
        super().put(obj, block, timeout)


@pytest.mark.parametrize("method", METHODS)
def test_what_was_put_outlives_who_put_it(method: str, start: Start) -> None:
    queue = Queue()
    things = [*range(100), bytes(LARGE), "end"]
    process = start(targets.put_all, queue, things, True, method=method)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    _core.sweep()
    assert queue.qsize() == len(things)
    assert [queue.get() for _ in things] == things
    start(targets.put_and_exit_hard, queue, "hard", method=method).join()
    assert queue.get(block=False) == "hard"


def test_close_is_this_process_affair(start: Start) -> None:
    queue = Queue()
    queue.close()
    start(targets.put_all, queue, [1]).join()
    assert queue.qsize() == 1


def test_a_queue_lives_as_long_as_somebody_has_it(start: Start) -> None:
    report = Queue()
    before = _core.arena_statistics()["blocks"]
    queue = Queue()
    queue.put(bytes(LARGE))
    process = start(targets.take, queue, 1, 0, report)
    report.get()
    del queue
    process.kill()
    process.join()
    _core.sweep()
    report.put(1)
    report.get()
    assert _core.arena_statistics()["blocks"] <= before + 2  # the segments of `report`


# ---- waiting ----


def test_a_put_waits_for_room_and_a_get_for_objects(start: Start) -> None:
    queue, report = Queue(1), Queue()
    start(targets.outcome, report, "get", queue)
    assert report.get() == "about to"
    queue.put("came")
    assert report.get() == "came"
    queue.put(1)
    start(targets.outcome, report, "put", queue, 2)
    assert report.get() == "about to"
    assert queue.get() == 1
    assert report.get() is None
    assert queue.get() == 2


def test_shutting_down_tells_all_who_wait(start: Start) -> None:
    empty, full, report = Queue(), Queue(1), Queue()
    full.put(1)
    processes = [
        start(targets.outcome, report, "get", empty),
        start(targets.outcome, report, "put", full, 2),
        start(targets.outcome, report, "get_many", empty, 3),
    ]
    assert [report.get() for _ in processes] == ["about to"] * 3
    empty.shutdown()
    full.shutdown()
    assert [report.get() for _ in processes] == ["ShutDown"] * 3
    assert full.get() == 1


def test_a_queue_that_is_shut_down_gives_what_it_has() -> None:
    queue = Queue()
    queue.put_many([1, 2, 3])
    queue.shutdown()
    for call in (lambda: queue.put(4), lambda: queue.put_many([4]), lambda: queue.put_nowait(4)):
        with pytest.raises(procession.errors.sync.ShutDown):
            call()
    assert queue.get_many(2) == [1, 2]
    assert queue.get() == 3
    for get in (queue.get, queue.get_nowait, lambda: queue.get(timeout=5)):
        with pytest.raises(procession.errors.sync.ShutDown):
            get()


def test_shutting_down_at_once_throws_away_and_ends_joins() -> None:
    queue = JoinableQueue()
    queue.put_many([1, bytes(LARGE), *range(1000)])
    assert queue.get() == 1
    queue.shutdown(immediate=True)
    assert queue.empty()
    with pytest.raises(procession.errors.sync.ShutDown):
        queue.get()
    queue.task_done()
    queue.join()


# ---- done, and not done ----


def test_a_join_waits_for_the_last_one(start: Start) -> None:
    queue, results = JoinableQueue(), Queue()
    workers = [start(targets.work, queue, results) for _ in range(2)]
    queue.put_many(range(100))
    queue.join()
    assert sorted(results.get_many(1000)) == [n * n for n in range(100)]
    with pytest.raises(ValueError, match=r"task_done\(\) called too many times"):
        queue.task_done()
    queue.join()
    queue.shutdown()
    assert [results.get() for _ in workers] == ["ShutDown"] * 2


def test_a_join_does_not_wait_for_the_dead(start: Start) -> None:
    queue, report = JoinableQueue(), Queue()
    queue.put_many(range(5))
    process = start(targets.take, queue, 3, 1, report)
    pid = report.get()
    for _ in range(2):
        queue.get()
        queue.task_done()
    process.kill()
    with pytest.raises(OwnerDied) as died:
        queue.join()
    assert (died.value.pid, died.value.thing) == (pid, "JoinableQueue")
    assert "take (targets.py:" in died.value.place
    with pytest.raises(OwnerDied):
        queue.join()
    assert queue.recover() == 2
    assert queue.recover() == 0
    queue.join()
    assert queue._validate() is None


def test_a_join_that_waits_already_is_told_of_a_death(start: Start) -> None:
    queue, report = JoinableQueue(), Queue()
    queue.put(1)
    taker = start(targets.take, queue, 1, 0, report)
    report.get()
    start(targets.outcome, report, "join", queue)
    assert report.get() == "about to"
    taker.kill()
    assert report.get() == "OwnerDied"


def test_a_join_waits_for_the_living_beside_the_dead(start: Start) -> None:
    queue, report = JoinableQueue(), Queue()
    queue.put_many([1, 2])
    dies = start(targets.take, queue, 1, 1, report)
    report.get()
    dies.kill()
    dies.join()
    start(targets.take, queue, 1, 1, report, leaves=True)
    queue.join()


def test_another_one_may_mark_what_the_dead_had_taken(start: Start) -> None:
    queue, report = JoinableQueue(), Queue()
    queue.put(1)
    process = start(targets.take, queue, 1, 0, report)
    report.get()
    process.kill()
    process.join()
    queue.task_done()
    queue.join()
    assert queue.recover() == 0


def test_who_ends_well_leaves_it_to_others_to_mark_what_it_took(start: Start) -> None:
    queue, report = JoinableQueue(), Queue()
    queue.put_many(range(3))
    process = start(targets.take, queue, 3, 1, report, leaves=True)
    process.join()
    assert process.exitcode == 0
    assert queue.recover() == 0
    ended = Queue()
    joining = start(targets.outcome, ended, "join", queue)
    assert ended.get() == "about to"
    # It sleeps, looks for the dead and sleeps again: more than one look, and no word.
    with pytest.raises(Empty):
        ended.get(timeout=0.1)
    queue.task_done()
    queue.task_done()
    assert ended.get() is None
    joining.join()
    queue.join()


def test_who_crashes_is_told_of_beside_one_who_has_ended_well(start: Start) -> None:
    queue, report = JoinableQueue(), Queue()
    queue.put_many(range(3))
    start(targets.take, queue, 1, 0, report, leaves=True).join()
    crashed = start(targets.take, queue, 2, 0, report)
    assert report.get() != report.get() == crashed.pid
    crashed.kill()
    crashed.join()
    with pytest.raises(OwnerDied) as caught:
        queue.join()
    assert caught.value.pid == crashed.pid
    assert queue.recover() == 2
    queue.task_done()
    queue.join()


# ---- interrupts ----


class _Interrupted(Exception):
    pass


@contextlib.contextmanager
def _raising_handler() -> Iterator[None]:
    def handler(signum: int, frame: object) -> None:
        raise _Interrupted

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


def _interrupt_when_asleep(process: int, waiters: Callable[[], list[Any]]) -> None:
    while not waiters():
        os.sched_yield()
    os.kill(process, signal.SIGUSR1)


@pytest.mark.parametrize("name", ["get", "put", "join", "get_many"])
def test_a_wait_can_be_interrupted(name: str, start: Start) -> None:
    queue = JoinableQueue(1)
    arguments = {"put": (2,), "get_many": (2,)}.get(name, ())
    if name in {"put", "join"}:
        queue.put(1)

    def interrupt(pid: int) -> None:
        def waiters() -> list[Any]:
            spots = _core.census(_core.arena_descriptor())[4]
            return [spot for spot in spots if pid in spot]

        _interrupt_when_asleep(pid, waiters)

    with _raising_handler():
        start(interrupt, os.getpid())
        with pytest.raises(_Interrupted):
            getattr(queue, name)(*arguments)
    assert queue.qsize() == (name in {"put", "join"})
    assert queue._validate() is None
