"""Waiting for several things together."""

from __future__ import annotations

import multiprocessing.connection
import os
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from procession.connection import Pipe, wait


class Box:
    """Something of ours without a descriptor."""

    def __init__(self, after: int = 1 << 30) -> None:
        self.asked = 0
        self.after = after

    def _is_ready(self) -> bool:
        self.asked += 1
        return self.asked > self.after


class Both(Box):
    """It has a descriptor, but that does not tell."""

    def fileno(self) -> int:
        """Never to be asked for."""
        raise AssertionError


@pytest.fixture
def pipes() -> Iterator[list[tuple[Any, Any]]]:
    """Ends that receive and ends that send: ours, the standard library's, two sockets."""
    made: list[tuple[Any, Any]] = [
        Pipe(duplex=False),
        multiprocessing.Pipe(duplex=False),
        Pipe(),
        socket.socketpair(),
    ]
    yield made
    for ends in made:
        for end in ends:
            end.close()


def write(end: Any) -> None:
    """Have something to read at the other end."""
    os.write(end.fileno(), b"\0\0\0\0")


def test_what_is_ready_comes_in_the_order_given(pipes: list[tuple[Any, Any]]) -> None:
    receivers = [receiver for receiver, _ in pipes]
    assert wait(receivers, 0) == []
    for number in (2, 0, 3):
        write(pipes[number][1])
    for objects in (receivers, receivers[::-1]):
        for wait_for in (wait, multiprocessing.connection.wait):
            ready = [thing for thing in objects if thing is not receivers[1]]
            assert wait_for(objects) == ready
            assert wait_for(iter(objects), 0) == ready
            assert wait_for(tuple(objects), -1) == ready


def test_descriptors_are_given_as_numbers_or_by_objects(pipes: list[tuple[Any, Any]]) -> None:
    class Named:
        def fileno(self) -> int:
            return int(pipes[1][0].fileno())

    number, named = pipes[0][0].fileno(), Named()
    write(pipes[0][1])
    write(pipes[1][1])
    assert wait([named, number]) == [named, number]


def test_the_end_of_a_stream_is_ready(pipes: list[tuple[Any, Any]]) -> None:
    for receiver, sender in pipes:
        sender.close()
        assert wait([receiver]) == [receiver]


def test_a_wait_ends_when_something_comes(pipes: list[tuple[Any, Any]]) -> None:
    receivers = [receiver for receiver, _ in pipes]
    for receiver, sender in pipes:
        writing = threading.Thread(target=write, args=(sender,))
        writing.start()
        assert wait(receivers) == [receiver]
        writing.join()
        os.read(receiver.fileno(), 4)


@pytest.mark.parametrize("timeout", [0, -1, 0.001, 0.02])
def test_a_wait_ends_at_its_timeout(pipes: list[tuple[Any, Any]], timeout: float) -> None:
    assert wait([receiver for receiver, _ in pipes], timeout) == []
    assert wait([], timeout) == []
    box = Box()
    assert wait([box], timeout) == []
    assert wait([box, pipes[0][0]], timeout) == []
    assert box.asked >= 2


def test_the_same_twice_is_refused(connections: Any, pipes: list[tuple[Any, Any]]) -> None:
    receiver = pipes[0][0]
    with pytest.raises(KeyError, match="is already registered"):
        connections.wait([receiver, receiver.fileno()])


@pytest.mark.parametrize("thing", [None, "text", object(), 1.5])
def test_what_has_no_descriptor_is_refused(connections: Any, thing: object) -> None:
    with pytest.raises(ValueError, match="^Invalid file object: "):
        connections.wait([thing])
    with pytest.raises(ValueError, match="^Invalid file descriptor: -1$"):
        connections.wait([-1])


def test_a_closed_connection_is_refused(connections: Any) -> None:
    here, there = connections.Pipe()
    here.close()
    there.close()
    with pytest.raises(OSError, match="^handle is closed$"):
        connections.wait([here])


def test_a_descriptor_that_is_not_open_is_ready(connections: Any) -> None:
    """So that whoever waits for it finds out."""
    here, there = connections.Pipe()
    fd = here.fileno()
    here.close()
    there.close()
    assert connections.wait([fd]) == [fd]


def test_objects_without_a_descriptor_are_asked(pipes: list[tuple[Any, Any]]) -> None:
    receiver, sender = pipes[0]
    late, later = Box(after=3), Box()
    assert wait([later, receiver, late]) == [late]
    assert (late.asked, later.asked) == (4, 4)
    write(sender)
    assert wait([late, later, receiver]) == [late, receiver]


def test_what_is_ready_at_once_is_found_at_once(pipes: list[tuple[Any, Any]]) -> None:
    box, both = Box(after=0), Both(after=0)
    assert wait([pipes[0][0], box, both], 0) == [box, both]
    assert (box.asked, both.asked) == (1, 1)


def test_what_an_object_raises_ends_the_wait(pipes: list[tuple[Any, Any]]) -> None:
    class Closed:
        def _is_ready(self) -> bool:
            raise OSError("the queue is closed")

    with pytest.raises(OSError, match="the queue is closed"):
        wait([pipes[0][0], Closed()])


def test_attributes_that_an_object_makes_up_do_not_count(pipes: list[tuple[Any, Any]]) -> None:
    class Proxy:
        def __getattr__(self, name: str) -> Any:
            return pipes[0][0].fileno

    proxy = Proxy()
    write(pipes[0][1])
    assert wait([proxy]) == [proxy]


def test_a_signal_handler_ends_a_wait_only_if_it_raises(pipes: list[tuple[Any, Any]]) -> None:
    receiver, sender = pipes[0]
    calls: list[int] = []

    def handle(*_: object) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise InterruptedError("twice")
        write(sender)

    before = signal.signal(signal.SIGUSR1, handle)
    main = threading.get_ident()

    def send() -> None:
        signal.pthread_kill(main, signal.SIGUSR1)

    try:
        sending = threading.Timer(0, send)
        sending.start()
        assert wait([receiver]) == [receiver]
        sending.join()
        os.read(receiver.fileno(), 4)
        sending = threading.Timer(0, send)
        with pytest.raises(InterruptedError, match="twice"):  # noqa: PT012 - it may come at once
            sending.start()
            wait([receiver])
        sending.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
