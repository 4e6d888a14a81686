"""A signal handler can raise between any two instructions; here it does, at each of them in turn.

Whatever it hits, a message is whole, or lost as a whole, or the connection says that it is cut
short. It is never mistaken for another.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np
import pytest

from procession import _core
from procession._transport import connection, lending, pickling, stream
from procession.connection import Pipe
from tests.connection.peers import wired

# One size for each way that a message goes; a socket has room for it.
WAYS = [(wired, 0), (wired, 10), (wired, 20000), (wired, 100000), (Pipe, 10), (Pipe, 300000)]
FILES = {module.__file__ for module in (connection, lending, pickling, stream)}


class Interrupt(BaseException):
    """What the handler raises."""


def interrupted(call: Callable[[], Any], at: int) -> bool:
    """Call, and raise within it before step number `at`; whether it was that long.

    A step is an instruction, or a line: not every Python tells of all instructions.
    """
    count = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        if frame.f_code.co_filename not in FILES:
            return None
        frame.f_trace_opcodes = True
        if event in ("opcode", "line"):
            count += 1
            if count == at:
                raise Interrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    except Interrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def everywhere(check: Callable[[int], bool]) -> None:
    """Check at each step there is."""
    at = 1
    while check(at):
        at += 1
    assert at > 10


@pytest.mark.parametrize(("make", "size"), WAYS)
@pytest.mark.parametrize("receive", ["recv_bytes", "recv_bytes_into"])
def test_a_message_is_received_whole_or_not_at_all(make: Any, size: int, receive: str) -> None:
    first, second = b"1" * size, b"2" * 7

    def check(at: int) -> bool:
        receiver, sender = make()
        with receiver, sender:
            sender.send_bytes(first)
            sender.send_bytes(second)
            arguments = [bytearray(size)] if receive == "recv_bytes_into" else []
            was_interrupted = interrupted(lambda: getattr(receiver, receive)(*arguments), at)
            if receiver.readable:
                assert receiver.recv_bytes() in (first, second)
            else:
                assert was_interrupted
                with pytest.raises(OSError, match="message that was being received"):
                    receiver.recv_bytes()
                with pytest.raises((BrokenPipeError, ConnectionResetError)):
                    sender.send_bytes(b"nobody reads it")
            return was_interrupted

    everywhere(check)


@pytest.mark.parametrize(("make", "size"), WAYS)
def test_a_message_is_sent_whole_or_not_at_all(make: Any, size: int) -> None:
    first, second = b"1" * size, b"2" * 7

    def check(at: int) -> bool:
        receiver, sender = make()
        with receiver, sender:
            was_interrupted = interrupted(lambda: sender.send_bytes(first), at)
            sender.send_bytes(second)  # it all fits, so nothing is ever cut short
            found = receiver.recv_bytes()
            if found == first:
                found = receiver.recv_bytes()
            assert found == second
            return was_interrupted

    everywhere(check)


def test_an_array_is_sent_and_received_whole_or_not_at_all() -> None:
    first, second = np.arange(40000), np.arange(50000)
    is_receiving = False

    def check(at: int) -> bool:
        receiver, sender = Pipe()
        found = None
        with receiver, sender:
            if is_receiving:
                sender.send([first])
                sender.send([second])
                was_interrupted = interrupted(receiver.recv, at)
            else:
                was_interrupted = interrupted(lambda: sender.send([first]), at)
                sender.send([second])
            if receiver.readable:
                found = receiver.recv()[0]
                assert len(found) in (len(first), len(second))
                np.testing.assert_array_equal(found, [first, second][len(found) == len(second)])
            while receiver.readable and receiver.poll():
                receiver.recv()
            if not receiver.readable:
                with pytest.raises((BrokenPipeError, ConnectionResetError)):
                    sender.send([second])
        assert _core.arena_statistics()["blocks"] == (found is not None)
        return was_interrupted

    everywhere(check)
    is_receiving = True
    everywhere(check)
