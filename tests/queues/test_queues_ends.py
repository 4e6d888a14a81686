"""The ends of a queue: waited for beside other things, and by who insists on a descriptor."""

from __future__ import annotations

import gc
import multiprocessing.connection
import os
import pickle
import select
import threading
from typing import Any

import pytest

import procession
from procession.connection import Pipe, wait
from procession.queues import Queue, SimpleQueue
from tests.plugins.scripts import LIMIT


@pytest.fixture(params=[Queue, SimpleQueue])
def queue(request: pytest.FixtureRequest) -> Any:
    """A queue of each kind."""
    return request.param()


def test_an_end_is_ready_when_there_is_something(queue: Any) -> None:
    near, far = Pipe()
    with near, far:
        assert wait([queue._reader, near], 0) == []
        queue.put(1)
        assert wait([queue._reader, near]) == [queue._reader]
        far.send(2)
        assert wait([near, queue._reader]) == [near, queue._reader]
        assert queue.get() == 1
        assert wait([queue._reader, near]) == [near]


def test_an_end_is_ready_as_soon_as_another_process_puts(queue: Any) -> None:
    process = procession.get_context("fork").Process(target=queue.put, args=("hello",))
    timer = threading.Timer(0.05, process.start)
    timer.start()
    assert wait([queue._reader], LIMIT) == [queue._reader]
    assert queue._reader.recv() == "hello"
    timer.join()
    process.join()
    process.close()


def test_the_ends_stand_for_a_pipe(queue: Any) -> None:
    assert not queue._reader.poll()
    assert not queue._reader.poll(0.001)
    queue._writer.send([1])
    assert queue._reader.poll(LIMIT)
    assert queue._reader.poll(None)
    assert queue._reader.recv() == [1]
    assert (queue._reader.readable, queue._reader.writable) == (True, False)
    assert (queue._writer.readable, queue._writer.writable) == (False, True)
    assert not queue._reader.closed
    queue.close()
    assert queue._reader.closed
    assert queue._writer.closed
    for call in (queue._reader.recv, queue._reader.poll, queue._reader.fileno):
        with pytest.raises(OSError, match="closed"):
            call()
    with pytest.raises(OSError, match="closed"):
        queue._writer.send(1)


def test_the_ends_take_and_give_pickles(queue: Any) -> None:
    queue._writer.send_bytes(pickle.dumps([1, "a"]))
    assert queue.get() == [1, "a"]
    pickled = pickle.dumps({2})
    queue._writer.send_bytes(b"xx" + pickled + b"yy", 2, len(pickled))
    assert pickle.loads(queue._reader.recv_bytes()) == {2}
    queue.close()
    for call in (queue._reader.recv_bytes, lambda: queue._writer.send_bytes(pickled)):
        with pytest.raises(OSError, match="closed"):
            call()


class _Wrapped:
    """An end as a subclass makes it for itself."""

    def __init__(self, end: Any) -> None:
        self.end = end

    def __getattr__(self, name: str) -> Any:
        return getattr(self.end, name)


def _wrap(queue: Any) -> None:
    queue._reader, queue._writer = _Wrapped(queue._reader), _Wrapped(queue._writer)


class WrappedQueue(Queue):
    """With ends of its own."""

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        _wrap(self)


class WrappedSimpleQueue(SimpleQueue):
    """With ends of its own."""

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        _wrap(self)


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("kind", [WrappedQueue, WrappedSimpleQueue])
def test_a_subclass_may_have_ends_of_its_own(kind: Any, method: str) -> None:
    queue = kind()
    assert isinstance(queue._reader, _Wrapped)
    assert isinstance(queue._writer, _Wrapped)
    context: Any = procession.get_context(method)
    process = context.Process(target=queue.put, args=([1],))
    process.start()
    assert wait([queue._reader], LIMIT) == [queue._reader]
    assert queue._reader.recv() == [1]
    queue._writer.send(2)
    assert queue.get() == 2
    process.join()
    assert process.exitcode == 0
    queue.close()
    assert queue._reader.closed


def test_a_queue_tells_its_limit() -> None:
    assert Queue(3)._maxsize == 3
    assert Queue()._maxsize > 1 << 20


def test_an_end_may_be_closed_alone(queue: Any) -> None:
    queue._reader.close()
    queue._writer.close()
    with pytest.raises(OSError, match="closed"):
        wait([queue._reader], 0)
    queue.put(1)
    assert queue.get() == 1


def test_a_descriptor_is_there_for_who_asks(queue: Any) -> None:
    descriptor = queue._reader.fileno()
    assert queue._reader.fileno() == descriptor
    assert select.select([queue._reader], [], [], 0) == ([], [], [])
    for number in range(3):
        queue.put(number)
        assert select.select([queue._reader], [], [], LIMIT)[0] == [queue._reader]
        queue.put("more")
        assert queue.get() == number
        assert select.select([descriptor], [], [], LIMIT)[0] == [descriptor]
        assert queue.get() == "more"
        # Who takes the last one here lowers it at once.
        assert select.select([descriptor], [], [], 0)[0] == []
    assert multiprocessing.connection.wait([queue._reader], 0) == []
    queue.put(1)
    assert multiprocessing.connection.wait([queue._reader]) == [queue._reader]
    queue.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_a_descriptor_is_raised_and_lowered_by_other_processes(queue: Any) -> None:
    context = procession.get_context("fork")
    poll = select.poll()
    poll.register(queue._reader, select.POLLIN)
    putter = context.Process(target=queue.put, args=(1,))
    putter.start()
    assert poll.poll(LIMIT * 1000)
    getter = context.Process(target=queue.get)
    getter.start()
    getter.join()
    while poll.poll(0):  # for STEP at most
        os.sched_yield()
    putter.join()
    queue.close()


def test_a_forked_child_has_a_descriptor_of_its_own() -> None:
    queue, answers = SimpleQueue(), SimpleQueue()
    queue._reader.fileno()

    def child() -> None:
        queue.put(1)
        answers.put(bool(select.select([queue._reader], [], [], LIMIT)[0]))
        queue.close()

    process = procession.get_context("fork").Process(target=child)
    process.start()
    assert answers.get() is True
    assert queue.get() == 1
    process.join()
    assert process.exitcode == 0
    queue.close()


def test_a_dropped_queue_ends_its_thread() -> None:
    queue = Queue()
    queue._reader.fileno()
    (thread,) = [t for t in threading.enumerate() if t.name == "procession-queue-signal"]
    del queue
    gc.collect()
    thread.join(LIMIT)
    assert not thread.is_alive()
