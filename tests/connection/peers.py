"""What runs in the children: by its name, so that plain pickle finds it."""

from __future__ import annotations

import os
import signal
from typing import Any

from procession.connection import Connection, Pipe

MANY = 8 << 20
"""Bytes: many more than a pipe or a socket keeps."""


def wired(duplex: bool = True) -> tuple[Connection, Connection]:
    """As Pipe(), but made by hand: whatever they send, it goes over the wire."""
    ends = Pipe(duplex)
    here, there = (Connection(os.dup(end.fileno()), end.readable, end.writable) for end in ends)
    for end in ends:
        end.close()
    return here, there


def echo(conn: Any) -> None:
    """Send back what comes, until that is None. (After a fork nobody finds an end to wait for.)"""
    with conn:
        while (value := conn.recv()) is not None:
            conn.send(value)


def say(conn: Any, value: object) -> None:
    """Send one thing."""
    conn.send(value)
    conn.close()


def say_through_one_that_comes(conn: Any) -> None:
    """Receive a connection, and say through it."""
    with conn.recv() as other:
        other.send("through what was sent")


def die(conn: Any, signum: int = signal.SIGKILL) -> None:
    """Say that it is alive, and be killed at once."""
    conn.send("alive")
    os.kill(os.getpid(), signum)


def die_idle(conn: Any) -> None:
    """Wait for a message until killed."""
    conn.send("alive")
    conn.recv()


def die_having_sent(conn: Any, value: object) -> None:
    """Send one thing, and be killed at once."""
    conn.send(value)
    os.kill(os.getpid(), signal.SIGKILL)


def die_having_received(conn: Any, count: int) -> None:
    """Receive so many things, and be killed with them in hand."""
    received = [conn.recv() for _ in range(count)]
    conn.send(len(received))
    os.kill(os.getpid(), signal.SIGKILL)


def die_reading(conn: Any) -> None:
    """Be killed when a part of a message was read."""
    os.read(conn.fileno(), 1000)
    os.kill(os.getpid(), signal.SIGKILL)


def send_much(conn: Any) -> None:
    """Send more than there is room for: it waits until somebody reads."""
    conn.send_bytes(bytes(MANY))


def is_open(conn: Any) -> tuple[bool, int]:
    """For a pool: whether the connection can be used there; and in which process."""
    conn.send(os.getpid())
    conn.close()
    return conn.closed, os.getpid()


def make_pipe(conn: Any) -> Any:
    """For a pool: a connection as a result."""
    return conn
