"""The other side is killed: whoever waits for it is told."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from procession.connection import Connection, Pipe, wait
from tests.connection import peers

GONE = (BrokenPipeError, ConnectionResetError)


def with_child(ctx: Any, target: Any, *, duplex: bool = True) -> tuple[Connection, Any]:
    """A connection to a child that has the other end, which nobody else has."""
    here, there = peers.wired(duplex)
    child = ctx.Process(target=target, args=(there,))
    child.start()
    there.close()
    return here, child


def killed(child: Any) -> bool:
    """Whether the child has ended as it should."""
    child.join()
    is_killed: bool = child.exitcode == -signal.SIGKILL
    child.close()
    return is_killed


def test_the_other_side_is_killed_while_it_waits(ctx: Any) -> None:
    here, child = with_child(ctx, peers.die_idle)
    with here:
        assert here.recv() == "alive"
        child.kill()
        assert wait([here]) == [here]
        assert here.poll(None)
        with pytest.raises(EOFError):
            here.recv()
        with pytest.raises(GONE):
            here.send("too late")
        assert killed(child)


def test_what_was_sent_before_the_death_is_received(ctx: Any) -> None:
    here, child = with_child(ctx, peers.die, duplex=False)
    with here:
        assert killed(child)
        assert here.recv() == "alive"
        with pytest.raises(EOFError):
            here.recv()


def test_the_other_side_is_killed_with_something_unread(ctx: Any) -> None:
    here, child = with_child(ctx, peers.die)
    with here:
        assert here.recv() == "alive"
        assert killed(child)
        with pytest.raises(GONE):
            here.send("too late")
        with pytest.raises((EOFError, *GONE)):
            here.recv()


@pytest.mark.parametrize("receive", ["recv", "recv_bytes", "recv_bytes_into"])
@pytest.mark.parametrize("duplex", [True, False])
def test_the_other_side_is_killed_in_the_midst_of_a_message(
    ctx: Any, receive: str, duplex: bool
) -> None:
    here, child = with_child(ctx, peers.send_much, duplex=duplex)
    with here:
        assert here.poll(None)  # it has begun, and can not end before somebody reads
        child.kill()
        assert killed(child)
        arguments = [bytearray(peers.MANY)] if receive == "recv_bytes_into" else []
        with pytest.raises(OSError, match="^got end of file during message$"):
            getattr(here, receive)(*arguments)
        with pytest.raises(EOFError):
            getattr(here, receive)(*arguments)


@pytest.mark.parametrize("duplex", [True, False])
def test_the_other_side_is_killed_in_the_midst_of_reading(ctx: Any, duplex: bool) -> None:
    there, here = peers.wired(duplex)
    child = ctx.Process(target=peers.die_reading, args=(there,))
    child.start()
    there.close()
    with here:
        for _ in range(2):
            with pytest.raises(GONE):
                here.send_bytes(bytes(peers.MANY))
        assert killed(child)


def test_the_death_of_the_sender_is_told_to_all_who_read() -> None:
    """Also under fork, once each process has closed the ends that it does not use."""
    receiver, sender = Pipe(duplex=False)
    pids = []
    for _ in range(2):
        pid = os.fork()
        if pid == 0:
            sender.close()
            try:
                receiver.recv()
            except EOFError:
                os._exit(7)
            os._exit(1)
        pids.append(pid)
    sender.close()
    with pytest.raises(EOFError):
        receiver.recv()
    receiver.close()
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [7, 7]
