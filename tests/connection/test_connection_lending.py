"""Large messages between the ends of a pipe: they lie in the arena, and arrive as any other."""

from __future__ import annotations

import array
import ctypes
import io
import mmap
import multiprocessing
import multiprocessing.reduction
import os
import pickle
import struct
import threading
from typing import Any

import numpy as np
import pytest

import procession
from procession import _core
from procession._transport import lending, stream
from procession.connection import Connection, Pipe
from procession.errors.memory import ArenaFull
from tests.connection import peers

LARGE = 1 << 20
"""Bytes: enough for a message to go in the arena."""


def lent() -> int:
    """How many messages, and arrays that have come in one, are in the arena."""
    return _core.arena_statistics()["blocks"]


def numbers(order: Any = "C") -> Any:
    """An array of LARGE bytes, each number another."""
    return np.arange(LARGE // 8, dtype="i8").reshape(2, -1, 8, order=order)


def strided() -> Any:
    """One that is not in one piece."""
    return np.arange(LARGE // 4, dtype="i8")[::2]


def readonly() -> Any:
    """One that is not to be written."""
    made = numbers()
    made.flags.writeable = False
    return made


def dates() -> Any:
    """One that has no buffer that says what is in it."""
    return np.arange(LARGE // 8).astype("M8[us]")


def records() -> Any:
    """One whose items have fields."""
    return np.ones(LARGE // 12, dtype=[("a", "i4"), ("b", "f8")])


@pytest.mark.parametrize("duplex", [True, False])
@pytest.mark.parametrize(
    ("make", "count"),
    [
        (numbers, 1),
        (lambda: numbers("F"), 1),
        (lambda: numbers().T, 1),
        (strided, 1),
        (dates, 1),
        (readonly, 1),
        (records, 1),
        (lambda: numbers()[:0], 0),
        (lambda: numbers().astype(object), 1),
    ],
)
def test_an_array_arrives(make: Any, count: int, duplex: bool) -> None:
    receiver, sender = Pipe(duplex)
    with receiver, sender:
        sent = make()
        sender.send(sent)
        assert lent() == count
        received = receiver.recv()
    np.testing.assert_array_equal(received, sent)
    assert (received.dtype, received.shape) == (sent.dtype, sent.shape)
    for flag in ("C_CONTIGUOUS", "F_CONTIGUOUS"):
        if make is not strided:
            assert received.flags[flag] == sent.flags[flag]
    assert received.flags.writeable
    assert lent() == (1 if count and sent.dtype != object else 0)
    del received
    assert lent() == 0


def test_an_array_is_the_receivers_own(pair: tuple[Any, Any]) -> None:
    sent = numbers()
    pair[0].send(sent)
    pair[0].send(sent)
    sent[:] = 0
    first, second = (pair[1].recv() for _ in range(2))
    first[:] = 1
    np.testing.assert_array_equal(second, numbers())
    assert lent() == 2


def test_all_buffers_of_a_message_lie_in_one_piece_of_memory(pair: tuple[Any, Any]) -> None:
    sent = {
        "name": "both",
        "large": numbers(),
        "odd": np.arange(LARGE + 1, dtype="u1"),
        "small": np.arange(3),
        "parts": [numbers(), numbers("F")],
    }
    pair[0].send(sent)
    assert lent() == 1
    received = pair[1].recv()
    assert received["name"] == "both"
    for name in ("large", "odd", "small"):
        np.testing.assert_array_equal(received[name], sent[name])
    for part, expected in zip(received["parts"], sent["parts"], strict=True):
        np.testing.assert_array_equal(part, expected)
        assert part.ctypes.data % 64 == 0
    del part, expected
    some = received["parts"][1]
    del received
    assert lent() == 1  # as long as one of them is there
    view = some[1:, 2:5]
    del some
    assert lent() == 1
    np.testing.assert_array_equal(view, numbers("F")[1:, 2:5])
    del view
    assert lent() == 0


def test_the_same_array_twice_is_one_and_is_sent_once(pair: tuple[Any, Any]) -> None:
    both = numbers()
    pair[0].send([both, both])
    first, second = pair[1].recv()
    assert first is second
    assert _core.arena_statistics()["block_bytes"] < 2 * LARGE


@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_buffers_that_are_pickled_as_such_arrive_as_views(pair: tuple[Any, Any], kind: Any) -> None:
    pair[0].send(pickle.PickleBuffer(kind(b"x" * LARGE)))
    received = pair[1].recv()
    assert type(received) is memoryview
    assert received == b"x" * LARGE
    assert received.readonly == (kind is bytes)
    with pytest.raises(pickle.PicklingError, match="non-contiguous"):
        pair[0].send(pickle.PickleBuffer(memoryview(bytes(LARGE))[::2]))
    assert not pair[1].poll()


def test_what_has_no_buffers_goes_that_way_if_it_is_large(pair: tuple[Any, Any]) -> None:
    for value in ("x" * LARGE, b"x" * LARGE, [*range(LARGE // 4)], {"key": bytearray(LARGE)}):
        pair[0].send(value)
        assert lent() == 1
        assert pair[1].recv() == value
        assert lent() == 0


def test_what_goes_by_value_takes_its_arrays_along(pair: tuple[Any, Any]) -> None:
    large = numbers()
    pair[0].send(lambda: large)
    assert lent() == 1
    received = pair[1].recv()()
    np.testing.assert_array_equal(received, large)
    assert lent() == 1


class Registered:
    """Pickled as its reducer says."""


def test_registered_reducers_take_arrays_along(pair: tuple[Any, Any]) -> None:
    reduction: Any = multiprocessing.reduction
    reduction.register(Registered, lambda value: (tuple, ([numbers()],)))
    try:
        pair[0].send([Registered()])
    finally:
        del reduction.ForkingPickler._extra_reducers[Registered]
    ((received,),) = pair[1].recv()
    np.testing.assert_array_equal(received, numbers())
    assert lent() == 1


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_buffers_and_bytes_go_that_way_from_a_certain_size_on(
    pair: tuple[Any, Any], more: int
) -> None:
    data = os.urandom(_core.LEAST_APART + more)
    pair[0].send(np.frombuffer(data, "u1"))
    assert lent() == (more >= 0)
    assert pair[1].recv().tobytes() == data
    data = os.urandom(lending.LEAST + more)
    sending = threading.Thread(target=pair[0].send_bytes, args=(data,))
    sending.start()  # a socket has no room for what does not go that way
    assert pair[1].poll(None)
    assert lent() == (more >= 0)
    assert pair[1].recv_bytes() == data
    sending.join()
    assert lent() == 0


def test_small_messages_are_on_the_wire_what_they_were(pair: tuple[Any, Any]) -> None:
    small = np.arange(100)
    pair[0].send(small)
    with io.open(os.dup(pair[1].fileno()), "rb") as file:  # noqa: UP020
        pickled = pickle.dumps(small, 5)
        assert file.read1(10000) == struct.pack("!i", len(pickled)) + pickled


# Bytes


def test_bytes_are_received(pair: tuple[Any, Any]) -> None:
    data = os.urandom(LARGE)
    pair[0].send_bytes(array.array("B", data), 10, LARGE - 20)
    received = pair[1].recv_bytes()
    assert type(received) is bytes
    assert received == data[10:-10]
    pair[0].send_bytes(np.frombuffer(data, "f4").reshape(2, -1))
    assert pair[1].recv_bytes(LARGE) == data


@pytest.mark.parametrize("make", [bytearray, lambda size: array.array("d", [0]) * (size // 8)])
def test_bytes_are_received_into_a_buffer(pair: tuple[Any, Any], make: Any) -> None:
    data = os.urandom(LARGE)
    room = make(LARGE + 16)
    pair[0].send_bytes(data)
    assert pair[1].recv_bytes_into(room, 8) == LARGE
    assert bytes(room) == bytes(8) + data + bytes(8)
    letters = (ctypes.c_char * LARGE)()
    pair[0].send_bytes(data)
    assert pair[1].recv_bytes_into(letters) == LARGE
    assert letters.raw == data
    assert lent() == 0


def test_what_is_too_long_for_a_buffer_is_in_the_error(pair: tuple[Any, Any]) -> None:
    data = os.urandom(LARGE)
    pair[0].send_bytes(data)
    pair[0].send_bytes(b"next")
    with pytest.raises(procession.BufferTooShort) as caught:
        pair[1].recv_bytes_into(bytearray(LARGE - 1))
    assert caught.value.args == (data,)
    assert pair[1].recv_bytes() == b"next"
    assert lent() == 0


@pytest.mark.parametrize("duplex", [True, False])
def test_a_longer_message_than_is_accepted_ends_the_receiving(duplex: bool) -> None:
    receiver, sender = Pipe(duplex)
    with receiver, sender:
        sender.send_bytes(bytes(LARGE))
        with pytest.raises(OSError, match="^bad message length$"):
            receiver.recv_bytes(LARGE - 1)
        assert receiver.closed is not duplex
        assert lent() == 0


def test_a_buffer_that_can_not_be_written_loses_no_message(pair: tuple[Any, Any]) -> None:
    pair[0].send_bytes(bytes(LARGE))
    with pytest.raises(TypeError, match="a buffer that can be written is needed"):
        pair[1].recv_bytes_into(bytes(LARGE))
    assert pair[1].recv_bytes() == bytes(LARGE)


def test_objects_and_bytes_are_the_same_messages(pair: tuple[Any, Any]) -> None:
    sent = ["first", numbers(), readonly(), {"small": np.arange(5)}]
    pair[0].send_bytes(pickle.dumps(sent, 5))
    assert repr(pair[1].recv()) == repr(sent)
    pair[0].send(sent)
    pickled = pair[1].recv_bytes()
    assert repr(pickle.loads(pickled)) == repr(sent)
    assert pickle.loads(pickled)[1].flags.writeable
    assert pickle.loads(pickled)[2].flags.writeable
    room = bytearray(len(pickled))
    pair[0].send(sent)
    assert pair[1].recv_bytes_into(room) == len(pickled)
    assert room == pickled
    pair[0].send(sent)
    with pytest.raises(procession.BufferTooShort) as caught:
        pair[1].recv_bytes_into(bytearray(len(pickled) - 1))
    assert caught.value.args == (pickled,)
    pair[0].send(sent)
    with pytest.raises(OSError, match="^bad message length$"):
        pair[1].recv_bytes(len(pickled) - 1)
    assert lent() == 0


# Who takes part


def test_ends_that_are_made_by_hand_send_over_the_wire() -> None:
    receiver, sender = peers.wired()
    with receiver, sender:
        sender.send(np.arange(20000))  # a socket has room for it
        assert lent() == 0
        assert receiver.recv().sum() == sum(range(20000))


def test_an_end_that_is_made_by_hand_does_not_know_such_messages(pair: tuple[Any, Any]) -> None:
    pair[0].send_bytes(bytes(LARGE))
    with Connection(os.dup(pair[1].fileno())) as made, pytest.raises(OSError, match="bad message"):
        made.recv_bytes()
    assert lent() == 1
    for end in pair:
        end.close()
    assert lent() == 0


def test_children_send_and_receive_so(ctx: Any) -> None:
    here, there = Pipe()
    child = ctx.Process(target=peers.echo, args=(there,))
    child.start()
    there.close()
    sent = numbers()
    with here:
        received = sent
        for _ in range(3):
            here.send(received)
            received = here.recv()
            np.testing.assert_array_equal(received, sent)
            assert lent() >= 1  # and the child may still have the one that it has sent
        here.send(None)
        child.join()
        child.close()
        del received
        _core.sweep()
        assert lent() == 0


def test_an_end_that_was_sent_through_another_does_so(pair: tuple[Any, Any]) -> None:
    here, there = Pipe()
    pair[0].send(there)
    with here, there, pair[1].recv() as arrived:
        here.send(numbers())
        assert lent() == 1
        arrived.send(arrived.recv())
        assert lent() == 1
        np.testing.assert_array_equal(here.recv(), numbers())


def test_strangers_get_all_over_the_wire() -> None:
    """A process that the standard library spawns is of another family."""
    here, there = Pipe()
    child = multiprocessing.get_context("spawn").Process(target=peers.echo, args=(there,))
    child.start()
    there.close()
    with here:
        here.send(numbers())
        assert lent() == 0
        np.testing.assert_array_equal(here.recv(), numbers())
        here.send(None)
    child.join()
    assert child.exitcode == 0
    child.close()


def test_a_child_that_the_standard_library_forks_is_of_the_family() -> None:
    here, there = Pipe()
    child = multiprocessing.get_context("fork").Process(target=peers.echo, args=(there,))
    child.start()
    there.close()
    with here:
        here.send(numbers())
        np.testing.assert_array_equal(here.recv(), numbers())
        here.send(None)
    child.join()
    child.close()
    _core.sweep()


def framed(wire: bytes) -> bytes:
    """As it stands on the wire."""
    return struct.pack("!iQ", stream.LENT, len(wire)) + wire


@pytest.mark.parametrize("receive", ["recv", "recv_bytes", "recv_bytes_into"])
def test_what_is_not_to_be_had_is_refused_and_the_next_message_comes(
    pair: tuple[Any, Any], receive: str
) -> None:
    arguments = [bytearray(10)] if receive == "recv_bytes_into" else []
    memory = _core.Memory(100)
    name = memory._travel()
    stranger = (*name[:3], name[3] + 1, *name[4:])
    gone = (name[0], name[1] + 1, *name[2:])
    wires = [
        struct.pack("=8QI", *stranger, 0),
        struct.pack("=8QI", *gone, 1),
        struct.pack("=8QI", *name, 0) + b"more",
        b"short",
        b"",
    ]
    for wire in wires:
        os.write(pair[0].fileno(), framed(wire))
        with pytest.raises(OSError, match="not to be had from the shared memory"):
            getattr(pair[1], receive)(*arguments)
    pair[0].send_bytes(pickle.dumps(0))
    assert getattr(pair[1], receive)(*arguments) is not None
    os.write(pair[0].fileno(), struct.pack("!iQ", stream.LENT, 1 << 63))
    with pytest.raises(OSError, match="^bad message length$"):
        getattr(pair[1], receive)(*arguments)
    assert not pair[1].readable


@pytest.mark.parametrize("begun", [b"\xff\xff\xff\xfe", struct.pack("!iQ", -2, 99) + b"x" * 98])
def test_a_stream_that_ends_within_the_name_of_a_message(
    pair: tuple[Any, Any], begun: bytes
) -> None:
    os.write(pair[0].fileno(), begun)
    pair[0].close()
    with pytest.raises(OSError, match="^got end of file during message$"):
        pair[1].recv()


def test_a_process_that_has_no_arena_has_pipes(
    pair: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> Any:
        raise OSError("no descriptors left")

    nowhere = staticmethod(lambda _: None)
    stub = type("Memory", (), {"__new__": refuse, "holding": refuse, "at": nowhere})
    monkeypatch.setattr(_core, "Memory", stub)
    small = np.arange(20000)  # a socket has room for it
    pair[0].send(small)
    np.testing.assert_array_equal(pair[1].recv(), small)
    here, there = Pipe()
    with here, there:
        here.send(small)
        np.testing.assert_array_equal(there.recv(), small)


# No room


def test_shortage_of_memory_is_an_error_and_nothing_is_sent(
    pair: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _core.arena_statistics()["reserved"] * 2
    monkeypatch.setattr(lending, "MOST", whole)
    # Which cannot be written takes no memory.
    with mmap.mmap(-1, whole, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ) as zeros:
        for send, value in [
            (pair[0].send_bytes, zeros),
            (pair[0].send, [_core.Memory(LARGE), pickle.PickleBuffer(zeros)]),
        ]:
            with pytest.raises(ArenaFull, match="2,097,15[23] MiB do not fit into the shared"):
                send(value)
            del value
            assert not pair[1].poll()
    assert lent() == 0  # what was on its way with it, too
    pair[0].send("next")
    assert pair[1].recv() == "next"
