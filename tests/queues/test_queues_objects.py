"""What goes in comes out: the same objects, in the same order, as many as were asked for."""

from __future__ import annotations

import gc
import math
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from procession import _core
from procession.queues import Empty, Full, JoinableQueue, Queue, SimpleQueue
from tests.sync.waits import interrupted_when, is_waiting_here

LARGE = _core.INLINE_LIMIT + 1

OBJECTS: list[Any] = [
    *(0, 1, -1, 2**62, -(2**63), 2**63 - 1, 2**63, 10**50),
    *(0.0, -1.5, math.inf),
    *(b"", b"a", bytes(LARGE), b"x" * 1_000_000),
    *("", "a", "\N{SNOWMAN}", "\ud800", "y" * 5000, "\xe9" * LARGE),
    *(None, True, False),
    *((), (1, "a"), [1, [2, [3, [4, [5]]]]], {"a": {"b": 1}}, {1, 2}, 1 + 2j, bytearray(b"z")),
    *(list(range(100)), list(range(50_000)), Exception("e").args, range(3), int, print),
]


class Plain:
    """An object of the user's."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plain) and self.value == other.value

    def __hash__(self) -> int:
        return hash(self.value)


class Spoilt:
    """Can be pickled, and not unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _fail, ()


class Sour:
    """Can not be pickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        raise KeyError("sour")


def _fail() -> None:
    raise LookupError("spoilt")


@pytest.mark.parametrize("kind", [Queue, JoinableQueue, SimpleQueue])
def test_objects_come_back_as_they_were(kind: Any) -> None:
    queue = kind()
    for thing in [*OBJECTS, Plain(1), [Plain(2), None]]:
        queue.put(thing)
        back = queue.get()
        assert back == thing
        assert type(back) is type(thing)
    assert queue.empty()
    assert queue._validate() is None


def test_all_of_them_at_once_come_out_in_order() -> None:
    queue = Queue()
    for thing in OBJECTS:
        queue.put(thing)
    assert queue.qsize() == len(OBJECTS)
    assert queue._validate() is None
    assert [queue.get() for _ in OBJECTS] == OBJECTS


def test_what_has_no_importable_name_goes_by_value() -> None:
    queue = Queue()
    queue.put(lambda x: x + 1)
    assert queue.get()(1) == 2


def test_a_copy_is_made_when_it_is_put() -> None:
    queue = Queue()
    thing = [1]
    queue.put(thing)
    thing.append(2)
    assert queue.get() == [1]


def test_what_can_not_be_pickled_is_refused_at_once() -> None:
    for queue in (Queue(), SimpleQueue()):
        with pytest.raises(KeyError, match="sour"):
            queue.put([Sour()])
        assert queue.empty()
        queue.put(1)
        assert queue.get() == 1


def test_what_can_not_be_unpickled_raises_and_is_gone() -> None:
    queue = Queue()
    for thing in (1, Spoilt(), [Spoilt(), bytes(LARGE)], 2):
        queue.put(thing)
    assert queue.get() == 1
    for _ in range(2):
        with pytest.raises(LookupError, match="spoilt"):
            queue.get()
    assert queue.get() == 2
    assert queue.empty()
    assert queue._validate() is None


def test_a_subclass_may_look_after_what_can_not_be_pickled() -> None:
    refused: list[tuple[Exception, Any]] = []

    class Tolerant(Queue):
        @staticmethod
        def _on_queue_feeder_error(e: Exception, obj: Any) -> None:
            refused.append((e, obj))

    queue = Tolerant()
    sour = Sour()
    queue.put(sour)
    assert queue.put_many([1, sour, 2]) == 2
    assert [queue.get(), queue.get()] == [1, 2]
    assert [(type(error), thing) for error, thing in refused] == [(KeyError, sour)] * 2
    assert refused[0][0].__traceback__ is not None


def test_many_go_in_and_come_out_together() -> None:
    queue = Queue()
    things = [*range(1000), *OBJECTS]
    assert queue.put_many(iter(things)) == len(things)
    assert queue.put_many([]) == 0
    assert queue.get_many(1) == [0]
    assert queue.get_many(10) == list(range(1, 11))
    rest: list[Any] = []
    while not queue.empty():
        got = queue.get_many(10**12)
        assert got
        rest += got
    assert rest == things[11:]
    with pytest.raises(Empty):
        queue.get_many(3, block=False)
    with pytest.raises(ValueError, match="at least one"):
        queue.get_many(0)


def test_half_of_many_says_how_many_went_in() -> None:
    queue = Queue(5)
    with pytest.raises(Full) as full:
        queue.put_many(range(8), block=False)
    assert full.value.put_count == 5  # type: ignore[attr-defined]
    assert queue.get_many(10) == [0, 1, 2, 3, 4]
    with pytest.raises(KeyError) as refused:
        queue.put_many([1, 2, Sour(), 3])
    assert refused.value.put_count == 2  # type: ignore[attr-defined]
    assert queue.get_many(10) == [1, 2]

    def fails() -> Any:
        yield from range(3)
        raise OSError("input")

    with pytest.raises(OSError, match="input") as failed:
        queue.put_many(fails())
    assert failed.value.put_count == 3  # type: ignore[attr-defined]
    assert queue.get_many(10) == [0, 1, 2]


def test_one_bad_object_of_many_does_not_take_the_others_with_it() -> None:
    queue = Queue()
    queue.put_many([1, Spoilt(), bytes(LARGE), Spoilt(), 2])
    with pytest.raises(LookupError) as spoilt:
        queue.get_many(5)
    assert spoilt.value.got == [1, bytes(LARGE), 2]  # type: ignore[attr-defined]
    assert queue.empty()


@pytest.mark.parametrize("kind", [Queue, JoinableQueue])
def test_a_limit_is_exact(kind: Any) -> None:
    queue = kind(2)
    states = []
    for action in (queue.put, queue.put, None, queue.get, queue.get):
        if action == queue.put:
            action(bytes(LARGE))
        elif action:
            action()
        states.append((queue.qsize(), queue.empty(), queue.full()))
    assert states == [
        (1, False, False),
        (2, False, True),
        (2, False, True),
        (1, False, False),
        (0, True, False),
    ]


def test_a_full_queue_refuses_and_an_empty_one_gives_nothing() -> None:
    queue: Any = Queue(1)
    get: Any
    put: Any
    for get in (
        lambda: queue.get(False),
        lambda: queue.get(True, 0.001),
        lambda: queue.get(timeout=0),
        lambda: queue.get(timeout=-1),
        lambda: queue.get(block=False, timeout=5),
        queue.get_nowait,
    ):
        with pytest.raises(Empty):
            get()
    queue.put(1, True, 5)
    for put in (
        lambda: queue.put(2, False),
        lambda: queue.put(2, True, 0.001),
        lambda: queue.put(2, timeout=-1),
        lambda: queue.put(bytes(LARGE), block=False),
        lambda: queue.put(obj=2, block=False, timeout=5),
        lambda: queue.put_nowait(2),
    ):
        with pytest.raises(Full):
            put()
    assert queue.get() == 1
    assert _core.validate() is None


@pytest.mark.parametrize("maxsize", [0, -1, 2**40])
def test_without_a_limit_there_is_always_room(maxsize: int) -> None:
    queue = Queue(maxsize)
    assert queue.put_many(range(10_000)) == 10_000
    assert not queue.full()


def test_wrong_arguments_are_refused() -> None:
    queue: Any = Queue()
    for call in (
        queue.put,
        lambda: queue.put(1, True, None, 4),
        lambda: queue.put(1, nowhere=2),
        lambda: queue.put(1, obj=2),
        lambda: queue.get(1, 2, 3),
        lambda: queue.get(timeout="soon"),
        queue.get_many,
        lambda: queue.put_many(5),
    ):
        with pytest.raises(TypeError):
            call()
    assert queue.empty()


def test_a_closed_queue_is_of_no_more_use_here() -> None:
    queue = Queue()
    queue.put(1)
    queue.close()
    queue.close()
    for call in (queue.get, lambda: queue.put(2), lambda: queue.put_many([2]), queue.get_nowait):
        with pytest.raises(ValueError, match=r"Queue <procession.queues.Queue .*> is closed"):
            call()
    queue.cancel_join_thread()
    queue.join_thread()
    assert queue.qsize() == 1
    simple = SimpleQueue()
    simple.close()
    for call in (simple.get, lambda: simple.put(1), simple.empty):
        with pytest.raises(OSError, match="handle is closed"):
            call()
    with pytest.raises(AssertionError, match="not closed"):
        Queue().join_thread()


def test_the_names_may_be_subscripted() -> None:
    for kind in (Queue, JoinableQueue, SimpleQueue):
        assert kind[int].__origin__ is kind  # type: ignore[index]


def test_threads_share_a_queue() -> None:
    queue, results = Queue(10), SimpleQueue()

    def produce(first: int) -> None:
        for number in range(first, first + 500):
            queue.put(number)

    def consume() -> None:
        while (number := queue.get()) is not None:
            results.put(number)

    consumers = [threading.Thread(target=consume) for _ in range(3)]
    producers = [threading.Thread(target=produce, args=(500 * n,)) for n in range(3)]
    for thread in consumers + producers:
        thread.start()
    for thread in producers:
        thread.join()
    for _ in consumers:
        queue.put(None)
    for thread in consumers:
        thread.join()
    assert sorted(results.get() for _ in range(1500)) == list(range(1500))
    assert results.empty()


def test_many_queues_come_and_go() -> None:
    def use(count: int) -> None:
        queues = [Queue() for _ in range(count)]
        for queue in queues:
            queue.put(bytes(LARGE))
            queue.put(1)
        del queues, queue

    use(20)
    gc.collect()
    before = _core.arena_statistics()
    for _ in range(50):
        use(20)
    gc.collect()
    after = _core.arena_statistics()
    assert (after["blocks"], after["block_bytes"]) == (before["blocks"], before["block_bytes"])
    assert after["used"] - before["used"] <= 1 << 20
    assert _core.validate() is None


def test_what_was_piled_up_is_given_back() -> None:
    queue = Queue()
    before = _core.arena_statistics()["blocks"]
    for _ in range(3):
        queue.put_many(bytes(1000) for _ in range(20_000))
        assert _core.arena_statistics()["blocks"] > before + 10
        while not queue.empty():
            queue.get_many(1000)
        assert _core.arena_statistics()["blocks"] <= before + 2


class _Raising:
    """Raises something when it is unpickled."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __reduce__(self) -> Any:
        return _raise, (self.error,)


def _raise(error: BaseException) -> None:
    raise error


def test_an_interrupt_among_many_goes_before_an_error() -> None:
    queue = Queue()
    queue.put_many([1, _Raising(ValueError("first")), _Raising(KeyboardInterrupt()), 2])
    with pytest.raises(KeyboardInterrupt) as caught:
        queue.get_many(4, timeout=60)
    assert caught.value.got == [1, 2]  # type: ignore[attr-defined]
    queue.put_many([_Raising(KeyboardInterrupt()), _Raising(ValueError("second"))])
    with pytest.raises(KeyboardInterrupt):
        queue.get_many(2, timeout=60)


def test_an_interrupt_while_the_last_of_many_wait_for_room_is_raised() -> None:
    """And not the error that had ended them."""
    queue = Queue(1)
    queue.put(0)

    def items() -> Iterator[int]:
        yield 1
        raise ValueError("no more of these")

    with interrupted_when(is_waiting_here(os.getpid())), pytest.raises(KeyboardInterrupt):
        queue.put_many(items())
    assert queue.get() == 0


def test_who_is_interrupted_does_not_wait_for_room() -> None:
    queue = Queue(1)
    queue.put(0)

    def items() -> Iterator[int]:
        yield 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        queue.put_many(items())
    assert queue.get() == 0
