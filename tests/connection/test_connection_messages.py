"""Messages: what is sent is received, and what is wrong is refused, in the words of the stdlib."""

from __future__ import annotations

import array
import ctypes
import io
import multiprocessing.connection
import multiprocessing.reduction
import os
import pickle
import re
import socket
import struct
import threading
from typing import Any

import pytest

import procession
from procession import connection
from procession._transport import stream
from tests.connection.peers import wired


def sizes() -> list[int]:
    """Around all that is done otherwise for longer messages."""
    around = [0, 4, 16 << 10, 64 << 10, 1 << 20, 3 << 20]
    return sorted({max(0, size + more) for size in around for more in (-1, 0, 1)})


def test_objects_arrive(ends: tuple[Any, Any]) -> None:
    receiver, sender = ends
    sent = [
        None,
        1,
        "text",
        b"bytes",
        {"a": [1.5]},
        pytest.raises,
        ValueError("no"),
        (),
        [sizes] * 3,
    ]
    for value in sent:
        sender.send(value)
    received = [receiver.recv() for _ in sent]
    assert repr(received) == repr(sent)


@pytest.mark.parametrize("size", sizes())
def test_bytes_of_every_length_arrive(ends: tuple[Any, Any], size: int) -> None:
    receiver, sender = ends
    data = os.urandom(size)
    room = bytearray(size)
    sending = threading.Thread(target=lambda: [sender.send_bytes(data) for _ in range(2)])
    sending.start()
    received = receiver.recv_bytes()
    assert receiver.recv_bytes_into(room) == size
    sending.join()
    assert type(received) is bytes
    assert received == room == data


def test_messages_keep_their_borders(ends: tuple[Any, Any]) -> None:
    receiver, sender = ends
    sent = [b"", b"one", b"", b"two" * 1000, b""]
    for message in sent:
        sender.send_bytes(message)
    assert [receiver.recv_bytes() for _ in sent] == sent
    assert not receiver.poll()


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ((b"0123456789",), b"0123456789"),
        ((b"0123456789", 4), b"456789"),
        ((b"0123456789", 4, 3), b"456"),
        ((b"0123456789", 10), b""),
        ((b"0123456789", 0, 0), b""),
        ((bytearray(b"abc"),), b"abc"),
        ((memoryview(b"abcdef")[1:3],), b"bc"),
        ((array.array("i", [1, 2]), 4), struct.pack("i", 2)),
    ],
)
def test_parts_of_buffers_are_sent(
    ends: tuple[Any, Any], arguments: tuple[Any, ...], sent: bytes
) -> None:
    receiver, sender = ends
    sender.send_bytes(*arguments)
    assert receiver.recv_bytes() == sent


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((b"abc", -1), "offset is negative"),
        ((b"abc", 4), "buffer length < offset"),
        ((b"abc", 0, -1), "size is negative"),
        ((b"abc", 2, 2), "buffer length < offset + size"),
    ],
)
def test_parts_that_a_buffer_has_not_are_refused(
    ends: tuple[Any, Any], arguments: tuple[Any, ...], message: str
) -> None:
    receiver, sender = ends
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        sender.send_bytes(*arguments)
    with pytest.raises(TypeError):
        sender.send_bytes("text")
    assert not receiver.poll()


def test_bytes_are_received_into_a_buffer(ends: tuple[Any, Any]) -> None:
    receiver, sender = ends
    numbers = array.array("i", [0] * 4)
    for _ in range(2):
        sender.send_bytes(array.array("i", [5, 6]))
    assert receiver.recv_bytes_into(numbers) == 8
    assert numbers.tolist() == [5, 6, 0, 0]
    assert receiver.recv_bytes_into(numbers, 8) == 8
    assert numbers.tolist() == [5, 6, 5, 6]
    room = bytearray(5)
    sender.send_bytes(b"abc")
    assert receiver.recv_bytes_into(room, 2) == 3
    assert room == b"\0\0abc"
    sender.send_bytes(b"")
    assert receiver.recv_bytes_into(bytearray()) == 0


def test_what_is_too_long_for_a_buffer_is_in_the_error(ends: tuple[Any, Any]) -> None:
    receiver, sender = ends
    sender.send_bytes(b"longer")
    sender.send_bytes(b"next")
    with pytest.raises(procession.BufferTooShort) as caught:
        receiver.recv_bytes_into(bytearray(8), 3)
    assert caught.value.args == (b"longer",)
    assert receiver.recv_bytes() == b"next"


def test_offsets_outside_a_buffer_are_refused(ends: tuple[Any, Any]) -> None:
    receiver, sender = ends
    sender.send_bytes(b"abc")
    with pytest.raises(ValueError, match="^negative offset$"):
        receiver.recv_bytes_into(bytearray(8), -1)
    with pytest.raises(ValueError, match="^offset too large$"):
        receiver.recv_bytes_into(bytearray(8), 9)
    with pytest.raises(ValueError, match="^negative maxlength$"):
        receiver.recv_bytes(-1)
    assert receiver.recv_bytes(3) == b"abc"


def test_a_buffer_that_can_not_be_written_loses_no_message(pair: tuple[Any, Any]) -> None:
    pair[0].send_bytes(b"abc")
    with pytest.raises(TypeError, match="a buffer that can be written is needed"):
        pair[1].recv_bytes_into(b"12345")
    assert pair[1].recv_bytes() == b"abc"


def test_buffers_of_odd_shapes_are_sent(pair: tuple[Any, Any]) -> None:
    pair[0].send_bytes(array.array("d"))
    assert pair[1].recv_bytes() == b""
    pair[0].send_bytes(memoryview(bytes(range(6))).cast("B", (2, 3)))
    assert pair[1].recv_bytes() == bytes(range(6))
    pair[0].send_bytes(b"")
    assert pair[1].recv_bytes_into(array.array("d")) == 0
    numbers = (ctypes.c_char * 3)()
    pair[0].send_bytes(b"abc")
    assert pair[1].recv_bytes_into(numbers) == 3
    assert numbers.raw == b"abc"


def test_a_longer_message_than_is_accepted_ends_the_receiving(ends: tuple[Any, Any]) -> None:
    receiver, sender = ends
    could_send = receiver.writable
    sender.send_bytes(b"abcdef")
    with pytest.raises(OSError, match="^bad message length$"):
        receiver.recv_bytes(5)
    assert receiver.closed is not could_send
    with pytest.raises(OSError, match="connection is write-only" if could_send else "is closed"):
        receiver.recv_bytes()
    if could_send:
        receiver.send("still")
        assert sender.recv() == "still"


def test_one_way_is_one_way(connections: Any) -> None:
    receiver, sender = connections.Pipe(duplex=False)
    with receiver, sender:
        assert (receiver.readable, receiver.writable) == (True, False)
        assert (sender.readable, sender.writable) == (False, True)
        for call in (receiver.send, receiver.send_bytes):
            with pytest.raises(OSError, match="^connection is read-only$"):
                call(b"")
        for receive in (sender.recv, sender.recv_bytes, sender.poll):
            with pytest.raises(OSError, match="^connection is write-only$"):
                receive()
        with pytest.raises(OSError, match="^connection is write-only$"):
            sender.recv_bytes_into(bytearray(1))


def test_a_closed_connection_says_so(ends: tuple[Any, Any]) -> None:
    receiver, sender = ends
    fd = receiver.fileno()
    assert not receiver.closed
    receiver.close()
    receiver.close()
    sender.close()
    assert receiver.closed
    for call in (receiver.recv, receiver.recv_bytes, receiver.poll, receiver.fileno):
        with pytest.raises(OSError, match="^handle is closed$"):
            call()
    with pytest.raises(OSError, match="^handle is closed$"):
        sender.send(1)
    with pytest.raises(OSError, match="^handle is closed$"), receiver:
        receiver.recv_bytes_into(bytearray(1))
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_a_connection_is_closed_by_a_with_statement_and_by_its_end(connections: Any) -> None:
    here, there = connections.Pipe()
    descriptors = [here.fileno(), there.fileno()]
    with here as entered:
        assert entered is here
    assert here.closed
    del there
    for fd in descriptors:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)


@pytest.mark.parametrize("arguments", [(-1,), (3, False, False)])
def test_impossible_connections_are_refused(connections: Any, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match="invalid handle|at least one of `readable` and"):
        connections.Connection(*arguments)
    with pytest.raises((TypeError, AttributeError)):
        connections.Connection("3")


def test_the_end_of_the_other_side(connections: Any) -> None:
    receiver, sender = connections.Pipe(duplex=False)
    sender.send("last")
    sender.close()
    assert receiver.poll()
    assert receiver.recv() == "last"
    for _ in range(2):
        assert receiver.poll()
        with pytest.raises(EOFError):
            receiver.recv()
    receiver.close()
    receiver, sender = connections.Pipe(duplex=False)
    receiver.close()
    for _ in range(2):
        with pytest.raises(BrokenPipeError):
            sender.send("lost")
    sender.close()


def test_poll_is_told_by_what_has_come(ends: tuple[Any, Any]) -> None:
    receiver, sender = ends
    for timeout in (0, 0.0, -1, 0.001):
        assert receiver.poll(timeout) is False
    sender.send_bytes(b"")
    for limit in (0, 0.0, -1, None, 10):
        assert receiver.poll(limit) is True
    assert receiver.recv_bytes() == b""
    assert receiver.poll() is False


def test_what_plain_pickle_refuses_goes_by_value(pair: tuple[Any, Any]) -> None:
    factor = 3
    pair[0].send(lambda number: number * factor)
    assert pair[1].recv()(5) == 15


def test_what_nothing_can_pickle_is_an_error_and_nothing_is_sent(ends: tuple[Any, Any]) -> None:
    receiver, sender = ends

    class Refuses:
        def __reduce__(self) -> tuple[Any, ...]:
            raise TypeError("this stays here")

    with pytest.raises(TypeError, match="this stays here"):
        sender.send([Refuses()])
    assert not receiver.poll()


class Registered:
    """Pickled as its reducer says."""


def test_reducers_that_a_program_registers_are_used(pair: tuple[Any, Any]) -> None:
    reduction: Any = multiprocessing.reduction
    reduction.register(Registered, lambda value: (str, ("as registered",)))
    try:
        pair[0].send([Registered(), lambda: Registered])
        assert pair[1].recv()[0] == "as registered"
    finally:
        del reduction.ForkingPickler._extra_reducers[Registered]


# The wire


@pytest.mark.parametrize("duplex", [True, False])
@pytest.mark.parametrize("sender_is_ours", [True, False])
def test_the_standard_librarys_connections_are_understood(
    duplex: bool, sender_is_ours: bool
) -> None:
    kinds: list[Any] = [multiprocessing.connection.Connection, connection.Connection]
    ends = connection.Pipe(duplex)
    receiver = kinds[not sender_is_ours](os.dup(ends[0].fileno()), writable=duplex)
    sender = kinds[sender_is_ours](os.dup(ends[1].fileno()), readable=duplex)
    for end in ends:
        end.close()
    assert type(receiver) is not type(sender)
    with receiver, sender:
        for value in (None, "text", b"x" * 20000, [1.5] * 1000):
            sender.send(value)
            assert receiver.recv() == value
        sender.send_bytes(b"")
        assert receiver.recv_bytes() == b""


def raw(duplex: bool = False) -> tuple[Any, int]:
    """A connection that receives, and the descriptor of the other side."""
    receiver, sender = wired(duplex)
    fd = os.dup(sender.fileno())
    sender.close()
    return receiver, fd


def test_the_longer_header_is_understood() -> None:
    receiver, fd = raw()
    os.write(fd, struct.pack("!iQ3s", -1, 3, b"abc"))
    assert receiver.recv_bytes() == b"abc"
    os.write(fd, struct.pack("!iQ3s", -1, 3, b"abc"))
    assert receiver.recv_bytes_into(bytearray(3)) == 3
    os.close(fd)
    receiver.close()


def test_a_long_message_has_the_longer_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "LONGEST_SHORT", 99)
    receiver, sender = connection.Pipe()
    theirs = multiprocessing.connection.Connection(os.dup(receiver.fileno()))
    with receiver, sender, theirs:
        for size in (99, 100, 20000):
            sender.send_bytes(bytes(size))
            assert len(theirs.recv_bytes()) == size
        sender.send_bytes(bytes(100))
        assert os.read(receiver.fileno(), 12) == struct.pack("!iQ", -1, 100)


@pytest.mark.parametrize("header", [struct.pack("!i", -2), struct.pack("!iQ", -1, 1 << 63)])
def test_a_length_that_no_message_has_ends_the_receiving(header: bytes) -> None:
    for receive in ("recv", "recv_bytes", "recv_bytes_into"):
        receiver, fd = raw()
        os.write(fd, header)
        with pytest.raises(OSError, match="^bad message length$"):
            getattr(receiver, receive)(*([bytearray(4)] if receive.endswith("into") else []))
        assert receiver.closed
        os.close(fd)


@pytest.mark.parametrize("begun", [b"\0", b"\0\0\0", b"\0\0\0\4abc", b"\0\0\0\4", b"\xff" * 9])
def test_a_stream_that_ends_within_a_message(begun: bytes) -> None:
    for receive in ("recv", "recv_bytes", "recv_bytes_into"):
        for duplex in (True, False):
            receiver, fd = raw(duplex)
            os.write(fd, begun)
            os.close(fd)
            arguments = [bytearray(4)] if receive.endswith("into") else []
            with pytest.raises(OSError, match="^got end of file during message$") as caught:
                getattr(receiver, receive)(*arguments)
            assert type(caught.value) is OSError
            with pytest.raises(EOFError):
                getattr(receiver, receive)(*arguments)
            receiver.close()


def test_errors_can_be_pickled() -> None:
    receiver, fd = raw()
    os.write(fd, b"\0")
    os.close(fd)
    with pytest.raises(OSError, match="got end of file") as caught, receiver:
        receiver.recv()
    assert repr(pickle.loads(pickle.dumps(caught.value))) == repr(caught.value)


def test_a_descriptor_that_does_not_block_says_so_before_a_message_begins() -> None:
    receiver, fd = raw()
    os.set_blocking(receiver.fileno(), False)
    with pytest.raises(BlockingIOError):
        receiver.recv()
    os.write(fd, struct.pack("!i3s", 3, b"abc"))
    assert receiver.recv_bytes() == b"abc"
    os.close(fd)
    receiver.close()


def test_sockets_are_sent(pair: tuple[Any, Any]) -> None:
    near, far = socket.socketpair()
    with near, far:
        pair[0].send(far)
        with pair[1].recv() as arrived:
            near.sendall(b"hello")
            assert arrived.recv(10) == b"hello"
            assert (arrived.family, arrived.type) == (far.family, far.type)


def test_a_stream_is_what_the_format_says(pair: tuple[Any, Any]) -> None:
    here, there = pair
    here.send_bytes(b"abc")
    here.send("text")
    with io.open(os.dup(there.fileno()), "rb") as file:  # noqa: UP020
        assert file.read1(100) == b"\0\0\0\3abc" + _framed(pickle.dumps("text", 5))


def _framed(body: bytes) -> bytes:
    return struct.pack("!i", len(body)) + body
