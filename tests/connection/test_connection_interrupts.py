"""Long messages go in parts, and signals come in between."""

from __future__ import annotations

import mmap
import os
import signal
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from procession.connection import Connection
from tests.connection.peers import MANY, wired


class Interrupt(BaseException):
    """Raised by a signal handler; Thread.start() does not catch it."""


class Signals:
    """SIGUSR1 for the main thread, sent by another."""

    def __init__(self) -> None:
        self.came = threading.Event()
        self.raising: BaseException | None = None
        self._main = threading.get_ident()

    def handle(self, *_: object) -> None:
        """The handler: raises once, if it shall."""
        self.came.set()
        error, self.raising = self.raising, None
        if error is not None:
            raise error

    def send(self) -> None:
        """Until the handler has run: one that comes right before a system call ends no wait."""
        came = self.came
        while not came.is_set():
            signal.pthread_kill(self._main, signal.SIGUSR1)
            came.wait(0.01)


@pytest.fixture
def signals() -> Iterator[Signals]:
    """SIGUSR1, caught."""
    made = Signals()
    before = signal.signal(signal.SIGUSR1, made.handle)
    yield made
    signal.signal(signal.SIGUSR1, before)


@pytest.fixture
def beside() -> Iterator[Callable[..., threading.Thread]]:
    """Starts a function in a thread, which ends within the test."""
    started: list[threading.Thread] = []

    def start(function: Callable[[], object]) -> threading.Thread:
        started.append(threading.Thread(target=function))
        started[-1].start()
        return started[-1]

    yield start
    for thread in started:
        thread.join()


def write_all(fd: int, data: bytes) -> None:
    """Write to a descriptor; when it returns, all but what it keeps was read."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


@pytest.fixture(params=[True, False], ids=["duplex", "one-way"])
def ours(request: pytest.FixtureRequest) -> Iterator[tuple[Connection, Connection]]:
    """One that receives and one that sends, of ours; all goes over the wire."""
    made = wired(request.param)
    yield made
    for end in made:
        end.close()


def test_a_long_message_goes_both_ways_at_once(beside: Any) -> None:
    data = os.urandom(MANY)
    ends = wired()
    for end in ends:
        beside(lambda end=end: end.send_bytes(data))
    assert all(end.recv_bytes() == data for end in ends)
    for end in ends:
        end.close()


def test_a_message_that_comes_byte_by_byte_is_received(
    ours: tuple[Connection, Connection], beside: Any
) -> None:
    receiver, sender = ours
    message = struct.pack("!i", 5) + b"bytes" + struct.pack("!iQ", -1, 4) + b"more"

    def drip() -> None:
        for number in range(len(message)):
            os.write(sender.fileno(), message[number : number + 1])

    beside(drip)
    assert receiver.recv_bytes() == b"bytes"
    assert receiver.recv_bytes() == b"more"


def test_a_handler_that_returns_changes_nothing(
    ours: tuple[Connection, Connection], signals: Signals, beside: Any
) -> None:
    receiver, sender = ours
    data = os.urandom(MANY)

    def write() -> None:
        write_all(sender.fileno(), struct.pack("!i", MANY) + data[: MANY // 2])
        signals.send()
        write_all(sender.fileno(), data[MANY // 2 :])

    beside(write)
    assert receiver.recv_bytes() == data
    signals.came.clear()
    arrived = bytearray()

    def read() -> None:
        arrived.extend(os.read(receiver.fileno(), 1 << 16))
        signals.send()
        while len(arrived) < MANY + 4:
            arrived.extend(os.read(receiver.fileno(), 1 << 16))

    reading = beside(read)
    sender.send_bytes(data)
    reading.join()
    assert arrived == struct.pack("!i", MANY) + data


def test_an_interrupt_before_a_message_begins_loses_nothing(
    ours: tuple[Connection, Connection], signals: Signals, beside: Any
) -> None:
    receiver, sender = ours
    receivers: list[Callable[[], object]] = [
        receiver.recv,
        receiver.recv_bytes,
        lambda: receiver.recv_bytes_into(bytearray(100)),
        lambda: receiver.poll(None),
    ]
    for receive in receivers:
        signals.raising = Interrupt()
        signals.came = threading.Event()  # the last thread may not have seen yet that it is set
        with pytest.raises(Interrupt):  # noqa: PT012 - it may come as soon as the thread runs
            beside(signals.send)
            receive()
        sender.send("next")
        assert receiver.recv() == "next"


@pytest.mark.parametrize("error", [Interrupt, TimeoutError, KeyboardInterrupt])
@pytest.mark.parametrize("receive", ["recv", "recv_bytes", "recv_bytes_into"])
def test_an_interrupt_within_a_message_ends_the_receiving(
    ours: tuple[Connection, Connection],
    signals: Signals,
    beside: Any,
    receive: str,
    error: type[BaseException],
) -> None:
    receiver, sender = ours
    signals.raising = error()
    came: list[BaseException] = []

    def write() -> None:
        write_all(sender.fileno(), struct.pack("!i", MANY) + bytes(MANY // 2))
        signals.send()
        try:
            write_all(sender.fileno(), bytes(MANY // 2))
        except OSError as lost:
            came.append(lost)

    writing = beside(write)
    arguments = [bytearray(MANY)] if receive == "recv_bytes_into" else []
    with pytest.raises(error):
        getattr(receiver, receive)(*arguments)
    writing.join()
    # The other side is not left waiting for somebody to read the rest.
    assert isinstance(came[0], (BrokenPipeError, ConnectionResetError))
    assert receiver.closed is not sender.readable
    with pytest.raises(OSError, match="in the midst of a message that was being received"):
        getattr(receiver, receive)(*arguments)
    if not receiver.closed:
        receiver.send("still")
        assert sender.recv() == "still"


def test_an_interrupt_within_a_message_ends_the_sending(
    ours: tuple[Connection, Connection], signals: Signals, beside: Any
) -> None:
    receiver, sender = ours
    signals.raising = Interrupt()
    arrived = bytearray()

    def read() -> None:
        arrived.extend(os.read(receiver.fileno(), 1000))
        signals.send()
        while more := os.read(receiver.fileno(), 1 << 16):
            arrived.extend(more)

    reading = beside(read)
    with pytest.raises(Interrupt):
        sender.send_bytes(bytes(MANY))
    with pytest.raises(OSError, match="in the midst of a message that was being sent"):
        sender.send("next")
    reading.join()  # it has found the end
    assert 1000 <= len(arrived) < MANY
    if receiver.writable:
        receiver.send("still")
        assert sender.recv() == "still"
    else:
        assert sender.closed


def test_a_descriptor_that_does_not_block_is_waited_for_within_a_message(
    ours: tuple[Connection, Connection], beside: Any
) -> None:
    receiver, sender = ours
    os.set_blocking(sender.fileno(), False)
    data = os.urandom(MANY)
    arrived: list[bytes] = []
    reading = beside(lambda: arrived.append(receiver.recv_bytes()))
    sender.send_bytes(data)
    reading.join()
    os.set_blocking(sender.fileno(), True)
    os.set_blocking(receiver.fileno(), False)
    for size in (5000, MANY):

        def write(size: int = size) -> None:
            os.write(sender.fileno(), struct.pack("!i", size))
            write_all(sender.fileno(), data[:size])

        beside(write)
        assert receiver.poll(None)
        arrived.append(receiver.recv_bytes())
    assert arrived == [data, data[:5000], data]


def test_more_than_two_gibibytes_are_counted_right(beside: Any) -> None:
    receiver, sender = wired()
    size = (2 << 30) + 5
    counted: list[int] = []
    header = bytearray()

    def count() -> None:
        # Taken away without a copy of it: nobody has to have the memory.
        header.extend(os.read(receiver.fileno(), 12))
        nowhere = os.open(os.devnull, os.O_WRONLY)
        read, write = os.pipe()
        total = 0
        while total < size:
            moved = os.splice(receiver.fileno(), write, 1 << 16)
            total += moved
            while moved:
                moved -= os.splice(read, nowhere, moved)
        counted.append(total)
        for fd in (nowhere, read, write):
            os.close(fd)

    with receiver, sender:
        counting = beside(count)
        zeros = mmap.mmap(
            -1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        )  # of nothing but one page
        sender.send_bytes(zeros)
        counting.join()
        assert struct.unpack("!iQ", header) == (-1, size)
        assert counted == [size]
        assert not receiver.poll()
        zeros.close()
