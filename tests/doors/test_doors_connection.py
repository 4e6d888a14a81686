"""The door ``connection``: waiting for sentinels, sockets and connections together."""

from __future__ import annotations

import inspect
import multiprocessing.connection
import os
import signal
import socket
from collections.abc import Iterator
from typing import Any

import pytest

import procession
from procession import connection
from procession.connection import Client, Listener, Pipe, wait
from tests.plugins.scripts import LIMIT


@pytest.fixture
def endless() -> Iterator[Any]:
    """A process of ours that runs until it is killed."""
    process = procession.get_context("fork").Process(target=signal.pause)
    process.start()
    yield process
    process.kill()
    process.join(LIMIT)
    process.close()


@pytest.fixture
def pipe() -> Iterator[tuple[Any, Any]]:
    """The two ends of a connection."""
    ends = Pipe()
    yield ends
    for end in ends:
        end.close()


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two sockets, connected."""
    ends = socket.socketpair()
    yield ends
    for end in ends:
        end.close()


def test_the_public_names_are_the_standard_librarys_and_ours() -> None:
    theirs: Any = multiprocessing.connection
    assert {*theirs.__all__} <= {*connection.__all__} <= {*dir(connection)}
    renamed = {"CHALLENGE", "FAILURE", "WELCOME"}  # from Python 3.12 on
    assert {*connection.__all__} - renamed <= {*dir(theirs)}
    assert not [n for n in connection.__all__ if not hasattr(connection, n)]
    assert connection.families == theirs.families
    assert connection.default_family == theirs.default_family
    with pytest.raises(AttributeError, match="'procession.connection' has no attribute 'nothing'"):
        _ = connection.nothing  # type: ignore[attr-defined]


def test_the_two_kinds_of_connections_are_told_apart() -> None:
    theirs = multiprocessing.connection
    assert not issubclass(connection.Connection, theirs.Connection)
    assert not issubclass(theirs.Connection, connection.Connection)
    for module in (connection, theirs):
        ends: Any = module.Pipe()
        for end in ends:
            assert type(end) is module.Connection
            end.close()
    assert repr(connection.Connection) == "<class 'procession.connection.Connection'>"


def test_signatures_are_the_standard_librarys() -> None:
    ours: Any = connection
    theirs: Any = multiprocessing.connection
    calls = ["Client", "Connection", "Listener", "Pipe", "SocketListener", "arbitrary_address"]
    calls += ["XmlClient", "address_type", "reduce_connection", "wait"]
    pairs = [(name, getattr(ours, name), getattr(theirs, name)) for name in calls]
    for kind in ("Connection", "Listener"):
        mine, other = getattr(ours, kind), getattr(theirs, kind)
        names = [n for n in dir(other) if n[0] != "_" and callable(getattr(other, n))]
        pairs += [(name, getattr(mine, name), getattr(other, name)) for name in names]
    for name, mine, other in pairs:
        found, wanted = (
            [(p.name, p.default) for p in inspect.signature(call).parameters.values()]
            for call in (mine, other)
        )
        assert found == wanted, name


def test_wait_takes_sentinels_sockets_and_connections_together(
    endless: Any, pipe: tuple[Any, Any], sockets: tuple[socket.socket, socket.socket]
) -> None:
    (here, there), (near, far) = pipe, sockets
    everything = [endless.sentinel, here, near]
    assert wait(everything, timeout=0) == []
    there.send("one")
    assert wait(everything) == [here]
    far.send(b"two")
    assert {*wait(everything)} == {here, near}
    here.recv()
    near.recv(3)
    endless.kill()
    assert wait(everything) == [endless.sentinel]
    there.close()
    far.close()
    assert {*wait(everything)} == {*everything}


@pytest.mark.parametrize("timeout", [0, 0.0, -1, -0.5, 0.001])
def test_wait_ends_at_its_timeout(endless: Any, timeout: float) -> None:
    assert wait([endless.sentinel], timeout) == []
    assert wait([], timeout) == []


@pytest.mark.parametrize("timeout", [0, -1])
def test_what_is_ready_is_found_whatever_the_timeout(endless: Any, timeout: float) -> None:
    endless.kill()
    endless.join()
    assert wait([endless.sentinel], timeout) == [endless.sentinel]
    assert wait(iter([endless.sentinel]), timeout) == [endless.sentinel]


def test_closed_objects_are_errors(
    pipe: tuple[Any, Any], sockets: tuple[socket.socket, socket.socket]
) -> None:
    pipe[0].close()
    sockets[0].close()
    with pytest.raises(OSError, match="handle is closed"):
        wait([pipe[0]])
    with pytest.raises(ValueError, match="Invalid file descriptor"):
        wait([sockets[0]])
    process = procession.get_context("fork").Process(target=int)
    process.start()
    process.join()
    process.close()
    with pytest.raises(ValueError, match="closed"):
        wait([process.sentinel])


def test_a_child_can_wait_for_its_parents_end() -> None:
    read, write = os.pipe()

    def child() -> None:
        parent = procession.parent_process()
        assert parent is not None
        os.write(write, str(wait([parent.sentinel], timeout=0)).encode())

    process = procession.get_context("fork").Process(target=child)
    process.start()
    assert os.read(read, 100) == b"[]"
    process.join()
    os.close(read)
    os.close(write)


def test_a_child_of_ours_answers_its_parents_challenge() -> None:
    with Listener(authkey=procession.current_process().authkey) as listener:

        def child() -> None:
            with Client(listener.address, authkey=procession.current_process().authkey) as client:
                client.send("hello")

        process = procession.get_context("fork").Process(target=child)
        process.start()
        with listener.accept() as accepted:
            assert accepted.recv() == "hello"
        process.join()
        assert process.exitcode == 0
