"""What becomes of large messages: received, dropped, left behind; and who waits for room."""

from __future__ import annotations

import os
import threading
from typing import Any

import numpy as np
import pytest

from procession import _core
from procession._transport import lending
from procession.connection import Connection, Pipe
from tests.connection import peers

LARGE = 1 << 20
"""Bytes: enough for a message to go in the arena."""

GONE = (BrokenPipeError, ConnectionResetError)


def lent() -> int:
    """How many messages, and arrays that have come in one, are in the arena."""
    return _core.arena_statistics()["blocks"]


def numbers(first: int = 0) -> Any:
    """An array of LARGE bytes."""
    return np.arange(first, first + LARGE // 8)


def killed(child: Any) -> None:
    """Wait for it to end, and give back what it had."""
    child.join()
    assert child.exitcode == -9
    child.close()
    _core.sweep()


def test_an_array_outlives_the_connection(pair: tuple[Any, Any]) -> None:
    for end in pair:
        end.send(numbers())
    received = [end.recv() for end in pair]
    for end in pair:
        end.close()
    for array in received:
        np.testing.assert_array_equal(array, numbers())
    assert lent() == 2
    del array
    received.pop()
    assert lent() == 1
    received.pop()
    assert lent() == 0


def test_what_a_killed_sender_has_sent_is_received(ctx: Any) -> None:
    receiver, sender = Pipe(duplex=False)
    child = ctx.Process(target=peers.die_having_sent, args=(sender, {"array": numbers()}))
    child.start()
    sender.close()
    killed(child)
    assert lent() == 1
    with receiver:
        received = receiver.recv()
        np.testing.assert_array_equal(received["array"], numbers())
        received["array"][0] = 7
        with pytest.raises(EOFError):
            receiver.recv()
    assert lent() == 1
    del received
    assert lent() == 0


def test_what_a_killed_receiver_had_is_given_back(ctx: Any) -> None:
    here, there = Pipe()
    child = ctx.Process(target=peers.die_having_received, args=(there, 3))
    child.start()
    there.close()
    with here:
        for _ in range(3):
            here.send(numbers())
        assert here.recv() == 3
        killed(child)
        assert lent() == 0


def test_what_a_killed_receiver_has_not_received_is_given_back_with_the_next_message(
    ctx: Any,
) -> None:
    receiver, sender = Pipe(duplex=False)
    report, reporter = Pipe(duplex=False)
    child = ctx.Process(target=peers.die, args=(reporter,))
    child.start()
    reporter.close()
    with sender, report:
        for _ in range(3):
            sender.send(numbers())
        receiver.close()
        killed(child)
        assert lent() == 3
        for send in (sender.send, sender.send_bytes):
            with pytest.raises(GONE):
                send(numbers())
            assert lent() == 0


def test_what_cannot_be_sent_leaves_nothing(pair: tuple[Any, Any]) -> None:
    pair[1].close()
    for send in (pair[0].send, pair[0].send_bytes):
        with pytest.raises(GONE):
            send(numbers())
        assert lent() == 0
    pair[0].close()
    with pytest.raises(OSError, match="^handle is closed$"):
        pair[0].send(numbers())


def test_an_object_that_refuses_leaves_nothing(pair: tuple[Any, Any]) -> None:
    class Refuses:
        def __reduce__(self) -> tuple[Any, ...]:
            raise TypeError("this stays here")

    with pytest.raises(TypeError, match="this stays here"):
        pair[0].send([numbers(), _core.Memory(LARGE), Refuses()])
    assert lent() == 0
    assert not pair[1].poll()


def test_thousands_of_messages_need_the_memory_of_one(pair: tuple[Any, Any]) -> None:
    sent, data = numbers(), bytes(LARGE)

    def send_and_receive(count: int) -> int:
        for _ in range(count):
            pair[0].send(sent)
            pair[1].recv()
            pair[0].send_bytes(data)
            pair[1].recv_bytes()
        return _core.arena_statistics()["used"]

    assert send_and_receive(1) == send_and_receive(1000)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> int:
    """Two messages may wait to be received, and the sender has all patience."""
    monkeypatch.setattr(lending, "MOST", 2 * LARGE)
    monkeypatch.setattr(lending, "PATIENCE", 1e9)
    return 2


def sending(sender: Connection, count: int, failed: list[BaseException]) -> threading.Thread:
    """A thread that sends messages."""

    def send() -> None:
        try:
            for number in range(count):
                sender.send(numbers(number))
        except OSError as error:
            failed.append(error.with_traceback(None))  # its frames have the message

    thread = threading.Thread(target=send)
    thread.start()
    return thread


@pytest.mark.parametrize("duplex", [True, False])
def test_a_sender_waits_for_the_receiver(few: int, duplex: bool) -> None:
    receiver, sender = Pipe(duplex)
    failed: list[BaseException] = []
    with receiver, sender:
        thread = sending(sender, 10, failed)
        for number in range(10):
            received = receiver.recv()
            assert lent() <= few + 1  # and the one that was just received
            np.testing.assert_array_equal(received, numbers(number))
        thread.join()
        assert not failed


def test_bytes_that_are_longer_than_that_go_over_the_wire(few: int, pair: tuple[Any, Any]) -> None:
    for more in (0, 1):
        data = os.urandom(few * LARGE + more)
        thread = threading.Thread(target=pair[0].send_bytes, args=(data,))
        thread.start()
        assert pair[1].poll(None)
        assert lent() == (more == 0)
        assert pair[1].recv_bytes() == data
        thread.join()
    large = np.arange(few * LARGE)  # as a buffer it may be longer
    pair[0].send(large)
    assert lent() == 1
    np.testing.assert_array_equal(pair[1].recv(), large)


@pytest.mark.parametrize("duplex", [True, False])
def test_a_sender_that_waits_is_told_of_the_end(few: int, duplex: bool) -> None:
    receiver, sender = Pipe(duplex)
    failed: list[BaseException] = []
    with sender:
        thread = sending(sender, few + 1, failed)
        while lent() < few:  # it does not stop before
            assert receiver.poll(None)
        receiver.close()
        thread.join()
        assert isinstance(failed[0], GONE)
        assert lent() == 0


def test_a_sender_that_loses_patience_sends_over_the_wire(
    few: int, monkeypatch: pytest.MonkeyPatch, pair: tuple[Any, Any]
) -> None:
    monkeypatch.setattr(lending, "PATIENCE", 0)
    failed: list[BaseException] = []
    thread = sending(pair[0], 10, failed)
    for number in range(10):
        received = pair[1].recv()
        assert lent() <= few + 1
        np.testing.assert_array_equal(received, numbers(number))
        del received
    thread.join()
    assert not failed
    assert lent() == 0
    pair[0].send(numbers())  # there is room again
    assert lent() == 1
    pair[1].recv()


def test_what_somebody_died_with_does_not_hold_a_sender_back_for_ever(
    few: int, monkeypatch: pytest.MonkeyPatch, pair: tuple[Any, Any]
) -> None:
    monkeypatch.setattr(lending, "PATIENCE", 0)
    for number in range(few):
        pair[0].send(numbers(number))
    lost = [wire_of_next(pair[1]) for _ in range(few)]
    failed: list[BaseException] = []
    thread = sending(pair[0], 12, failed)
    for number in range(12):
        received = pair[1].recv()
        assert number > 0 or lent() == few  # it came over the wire
        np.testing.assert_array_equal(received, numbers(number))
        del received
    thread.join()
    assert not failed
    pair[0].send(numbers())
    assert lent() == few + 1
    pair[1].recv()
    for wire in lost:
        lending.drop(wire)
    assert lent() == 0


def test_what_was_received_tells_of_all_that_went_before(few: int, pair: tuple[Any, Any]) -> None:
    pair[0].send(numbers())
    lost = wire_of_next(pair[1])
    pair[0].send(numbers())
    pair[1].recv()
    for _ in range(few):  # without a wait
        pair[0].send(numbers())
    assert lent() == few + 1
    for _ in range(few):
        pair[1].recv()
    lending.drop(lost)


def wire_of_next(receiver: Connection) -> bytearray:
    """What tells where the next message is; as if who has read that were killed."""
    size = int.from_bytes(os.read(receiver.fileno(), 12)[4:])
    return bytearray(os.read(receiver.fileno(), size))


def test_a_message_of_many_pieces_goes_over_the_wire_whole(
    monkeypatch: pytest.MonkeyPatch, pair: tuple[Any, Any]
) -> None:
    monkeypatch.setattr(lending, "PATIENCE", 0)
    monkeypatch.setattr(lending.Lender, "_has_room", lambda _: False)
    sent = [np.arange(number, number + _core.LEAST_APART // 8 + number) for number in range(700)]
    sent.append(numbers())
    thread = threading.Thread(target=pair[0].send, args=({"many": sent, "text": "x" * LARGE},))
    thread.start()
    received = pair[1].recv()
    thread.join()
    assert lent() == 0
    assert received["text"] == "x" * LARGE
    for array, expected in zip(received["many"], sent, strict=True):
        np.testing.assert_array_equal(array, expected)
        assert array.flags.writeable


def test_what_is_frozen_is_only_named(pair: tuple[Any, Any]) -> None:
    memory = _core.Memory.holding([numbers()])
    memory.freeze()
    frozen = np.frombuffer(memoryview(memory), "i8")
    del memory
    pair[0].send({"whole": frozen, "part": frozen[1000:]})
    assert lent() == 1
    received = pair[1].recv()
    np.testing.assert_array_equal(received["whole"], numbers())
    np.testing.assert_array_equal(received["part"], numbers()[1000:])
    assert not received["part"].flags.writeable
    assert received["part"].ctypes.data == frozen[1000:].ctypes.data
    del frozen
    assert lent() == 1
    del received
    assert lent() == 0
