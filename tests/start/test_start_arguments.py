"""What a process is given reaches it, and so does what it is made of."""

from __future__ import annotations

import functools
import pickle
import socket
from collections.abc import Callable
from typing import Any

import pytest

from procession import process
from tests.start import targets


def receive(ctx: Any, target: Callable[..., object], /, *args: object, **kwargs: object) -> Any:
    """Run a target that sends one thing; that thing."""
    reader, writer = ctx.Pipe(duplex=False)
    child = ctx.Process(target=target, args=(writer, *args), kwargs=kwargs)
    child.start()
    writer.close()
    with reader:
        try:
            return reader.recv()
        finally:
            child.join()
            assert child.exitcode == 0
            child.close()


class Unpicklable:
    """Refuses to travel."""

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("this stays here")


class Sender(process.BaseProcess):
    """Keeps what it needs in itself; the start method is a subclass's."""

    def __init__(self, conn: Any, text: str) -> None:
        super().__init__()
        self.conn = conn
        self.text = text

    def run(self) -> None:
        """Send it."""
        self.conn.send(self.text + "!")


def subclass_of(ctx: Any) -> Any:
    """A local class: it can only travel by value."""

    class Local(Sender, ctx.Process):  # type: ignore[misc]
        def run(self) -> None:
            self.text = self.text.upper()
            super().run()

    return Local


def test_arguments_arrive(ctx: Any) -> None:
    args = (1, "two", [3.0], {"four": (5,)}, None)
    assert receive(ctx, targets.send_arguments, *args, six=6, target=7) == (
        args,
        {"six": 6, "target": 7},
    )


def test_lambdas_and_closures_travel_by_value(ctx: Any) -> None:
    offset = 40
    assert receive(ctx, lambda conn, call: conn.send(call(2)), lambda x: x + offset) == 42


def test_partials_and_bound_methods_travel(ctx: Any) -> None:
    assert receive(ctx, functools.partial(targets.send_arguments, key=1)) == ((), {"key": 1})
    text = "a,b"
    assert receive(ctx, lambda conn, split: conn.send(split(",")), text.split) == ["a", "b"]


def test_a_large_argument_travels(ctx: Any) -> None:
    block = bytes(range(256)) * 3900  # less than what is kept when it is sent again
    assert receive(ctx, lambda conn, data: conn.send(hash(data) == hash(block)), block) is True


def test_a_subclass_brings_its_attributes(ctx: Any) -> None:
    reader, writer = ctx.Pipe(duplex=False)
    child = subclass_of(ctx)(writer, "text")
    child.start()
    with reader, writer:
        assert reader.recv() == "TEXT!"
    child.join()
    assert child.exitcode == 0
    assert child.text == "text"


def test_a_process_without_target_ends_with_zero(ctx: Any) -> None:
    child = ctx.Process()
    child.start()
    child.join()
    assert child.exitcode == 0


@pytest.mark.parametrize("name", ["spawn", "forkserver"])
def test_what_cannot_be_pickled_starts_nothing(name: str) -> None:
    import procession

    ctx = procession.get_context(name)
    child = ctx.Process(target=int, args=(Unpicklable(),))
    with pytest.raises(TypeError, match="this stays here"):
        child.start()
    assert child.pid is None
    assert not child.is_alive()
    assert ctx.active_children() == []
    # Under fork nothing travels.
    forked = procession.get_context("fork").Process(target=type, args=(Unpicklable(),))
    forked.start()
    forked.join()
    assert forked.exitcode == 0


def test_a_process_object_itself_is_no_argument(ctx: Any) -> None:
    """Its key is pickled for its own start only."""
    with pytest.raises(TypeError, match="security"):
        pickle.dumps(ctx.Process(target=int))


def test_queues_of_the_standard_library(ctx: Any) -> None:
    for queue in (ctx.Queue(), ctx.SimpleQueue(), ctx.JoinableQueue()):
        child = ctx.Process(target=targets.fill, args=(queue, 100))
        child.start()
        assert [queue.get() for _ in range(100)] == [*range(100)]
        child.join()
        assert child.exitcode == 0
        queue.close()


def test_locks_and_values_of_the_standard_library(ctx: Any) -> None:
    lock, value = ctx.Lock(), ctx.Value("i", 0, lock=False)
    children = [
        ctx.Process(target=targets.add_under_lock, args=(lock, value, 200)) for _ in range(3)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0, 0]
    assert value.value == 600


def test_connections_both_ways(ctx: Any) -> None:
    ours, its = ctx.Pipe()
    child = ctx.Process(target=lambda conn: conn.send(conn.recv() * 2), args=(its,))
    child.start()
    its.close()
    with ours:
        ours.send([1])
        assert ours.recv() == [1, 1]
    child.join()
    assert child.exitcode == 0


def test_sockets(ctx: Any) -> None:
    ours, its = socket.socketpair()
    child = ctx.Process(target=targets.talk_over_socket, args=(its,))
    child.start()
    its.close()
    with ours:
        ours.sendall(b"quiet")
        assert ours.recv(64) == b"QUIET"
        assert ours.recv(64) == b""
    child.join()
    assert child.exitcode == 0


def test_arguments_are_released_by_the_start(ctx: Any) -> None:
    import weakref

    class Thing:
        pass

    thing = Thing()
    seen = weakref.ref(thing)
    child = ctx.Process(target=type, args=(thing,))
    del thing
    child.start()
    child.join()
    assert child.exitcode == 0
    assert seen() is None
