"""Large arguments that are sent again: shared from the second time on, and never out of date."""

from __future__ import annotations

import gc
import os
import pickle
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from procession import _core
from procession._codec import repeats
from procession._codec.apart import take_apart
from procession._codec.buffers import dumps_task
from tests.codec.roads import as_argument, as_shared_argument

SIZE = 2 << 20
COUNT = SIZE // 8


@pytest.fixture
def budget() -> Iterator[None]:
    """A budget of 64 MiB: 8 may be kept."""
    before = _core.memory_budget()
    _core.memory_budget(64 << 20)
    yield
    _core.memory_budget(before)


@pytest.mark.parametrize("what", ["array", "bytes", "bytearray", "read-only", "slice"])
def test_one_argument_to_64_tasks_is_copied_twice(what: str, copied: list[int]) -> None:
    base = np.arange(COUNT + 100)
    value: Any = {
        "array": base,
        "bytes": base.tobytes(),
        "bytearray": bytearray(base),
        "read-only": base[:COUNT],
        "slice": base,
    }[what]
    if what == "read-only":
        value.flags.writeable = False
    for i in range(64):
        sent = base[50:-50] if what == "slice" else value
        number, arrived = as_argument((i, sent))
        assert number == i
        assert np.array_equal(arrived, sent)
    assert sum(size >= SIZE for size in copied) == 2


def test_receivers_of_a_shared_argument_do_not_see_each_other() -> None:
    array = np.ones(COUNT)
    for _ in range(4):
        arrived = as_argument(array)
        assert (arrived == 1).all()
        arrived[:] = 5
    assert (array == 1).all()


def test_views_of_one_array_in_one_message_do_not_see_each_other() -> None:
    array = np.zeros(COUNT)
    for _ in range(4):
        whole, again, rest = as_shared_argument((array[:], array[:], array[COUNT // 2 :]))
        whole[:] = 1
        again[:] = 2
        rest[:] = 3
        assert (whole == 1).all()
        assert (again == 2).all()
        assert (rest == 3).all()
    assert (array == 0).all()


def test_within_one_call_it_is_compared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    compare = _core.same_bytes

    def look(one: Any, other: Any) -> bool:
        looks.append(len(one))
        return compare(one, other)

    monkeypatch.setattr(_core, "same_bytes", look)
    array = np.arange(COUNT)
    for _ in range(2):
        call = object()
        for _ in range(8):
            arrived = pickle.loads(dumps_task(array, once=True, call=call))
            assert np.array_equal(arrived, array)
    assert len(looks) == 1
    array[0] = 7
    assert pickle.loads(dumps_task(array, once=True, call=object()))[0] == 7


def test_what_changed_meanwhile_is_sent_as_it_is() -> None:
    array = np.zeros(COUNT)
    payloads = []
    for value in range(6):
        array[value] = value
        payloads.append(dumps_task(array, once=False))
    for value, payload in enumerate(payloads):
        arrived = pickle.loads(payload)
        assert arrived[: value + 1].tolist() == list(range(value + 1))
        assert (arrived[value + 1 :] == 0).all()


def test_one_byte_that_changed_is_seen_wherever_it_is() -> None:
    content = bytearray(SIZE)
    for place in (0, 4097, SIZE // 2, SIZE - 1):
        for _ in range(3):
            assert as_argument(content) == content
        repeats.forget()
        for _ in range(3):
            as_argument(content)
        content[place] += 1
        assert as_argument(content) == content


def test_a_buffer_that_is_filled_anew_is_left_alone(copied: list[int]) -> None:
    frame = np.zeros(COUNT)
    for number in range(20):
        frame[:] = number
        assert (as_shared_argument(frame) == number).all()
    assert sum(size >= SIZE for size in copied) == 20  # one each time
    assert repeats.kept() == 0
    copied.clear()
    as_argument(frame)
    as_argument(frame)
    assert sum(size >= SIZE for size in copied) == 2


def test_what_is_kept_goes_with_its_owner() -> None:
    before = _core.arena_statistics()["blocks"]
    array = np.arange(COUNT + 100)
    content = bytearray(SIZE)
    for _ in range(3):
        as_argument(array[100:])  # a view of its own each time
        as_argument(content)
    assert repeats.kept() == 2 * SIZE
    del array
    gc.collect()
    assert repeats.kept() == SIZE  # a bytearray's end is not told
    repeats.forget()
    gc.collect()
    assert _core.arena_statistics()["blocks"] == before


def test_another_array_at_the_same_place_is_told_from_the_first() -> None:
    for value in range(8):
        array = np.full(COUNT, value)
        for _ in range(3):
            assert (as_argument(array) == value).all()
        content = bytes([value]) * SIZE
        for _ in range(3):
            assert as_argument(content) == content
        del array, content


def test_what_a_task_still_needs_outlives_what_is_kept() -> None:
    array = np.arange(COUNT)
    dumps_task(array, once=True)
    payload = dumps_task(array, once=True)
    repeats.forget()
    gc.collect()
    assert np.array_equal(pickle.loads(payload), array)


@pytest.mark.usefixtures("budget")
def test_no_more_is_kept_than_a_part_of_the_budget(copied: list[int]) -> None:
    arrays = [np.full(COUNT, number) for number in range(6)]
    for array in arrays:
        as_argument(array)
        as_argument(array)
        assert repeats.kept() <= 8 << 20
    assert repeats.kept() == 8 << 20
    copied.clear()
    as_argument(arrays[-1])
    assert not [size for size in copied if size >= SIZE]  # the latest are
    huge = np.zeros((9 << 20) // 8)
    for _ in range(3):
        assert np.array_equal(as_argument(huge), huge)
    assert repeats.kept() <= 8 << 20


def test_only_so_many_are_known() -> None:
    arrays = [np.zeros(repeats.LEAST, np.uint8) for _ in range(5)]
    for array in arrays:
        as_argument(array)
    assert len(repeats._known) == 5
    whole = np.zeros(repeats.LEAST + repeats.MOST * 8 + 100, np.uint8)
    for begin in range(repeats.MOST + 5):
        taken = take_apart(whole[begin * 8 : begin * 8 + repeats.LEAST])
        repeats.notice(taken)
    assert len(repeats._known) == repeats.MOST


def test_a_child_keeps_nothing_of_its_parents() -> None:
    array = np.arange(COUNT)
    as_argument(array)
    as_argument(array)
    assert repeats.kept() == SIZE
    reader, writer = os.pipe()
    child = _core.fork()
    if child == 0:
        os.write(writer, str(repeats.kept()).encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as told:
        assert told.read() == b"0"
    os.waitpid(child, 0)
    assert repeats.kept() == SIZE


def test_threads_send_the_same_at_once() -> None:
    arrays = [np.full(COUNT, number) for number in range(3)]
    wrong = []

    def send() -> None:
        for turn in range(20):
            number = turn % 3
            if not (as_argument(arrays[number]) == number).all():
                wrong.append(number)

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_no_room_to_keep_it_is_no_error() -> None:
    array = np.arange(COUNT)
    before = _core.memory_budget()
    as_argument(array)
    held = [dumps_task(np.zeros(COUNT), once=True) for _ in range(3)]
    _core.memory_budget(10 << 20)
    try:
        with pytest.raises(MemoryError):
            dumps_task(array, once=True)
        del held
        assert np.array_equal(as_argument(array), array)
    finally:
        _core.memory_budget(before)
