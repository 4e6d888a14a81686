"""Connections go to other processes: with one that starts, with a task, through each other."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from typing import Any

import pytest

from procession.connection import Connection, Pipe, rebuild_connection
from tests.connection import peers
from tests.plugins.scripts import RunScript


def started(ctx: Any, target: Any, *args: Any) -> Any:
    """A child, and nothing that its arguments keep open here."""
    child = ctx.Process(target=target, args=args)
    child.start()
    return child


def ended(child: Any) -> int | None:
    """The exit code of a child."""
    child.join()
    code: int | None = child.exitcode
    child.close()
    return code


@pytest.mark.parametrize("duplex", [True, False])
def test_a_connection_is_an_argument_of_a_process(ctx: Any, duplex: bool) -> None:
    here, there = Pipe(duplex)
    child = started(ctx, peers.say, there, "hello")
    there.close()
    assert here.recv() == "hello"
    with pytest.raises(EOFError):
        here.recv()
    here.close()
    assert ended(child) == 0


def test_both_ends_are_arguments(ctx: Any) -> None:
    here, there = Pipe()
    receiver, sender = Pipe(duplex=False)
    children = [started(ctx, peers.echo, there), started(ctx, peers.say, sender, 5)]
    for end in (there, sender):
        end.close()
    here.send([receiver.recv(), "and back"])
    assert here.recv() == [5, "and back"]
    here.send(None)
    here.close()
    receiver.close()
    assert [ended(child) for child in children] == [0, 0]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_process_of_the_standard_librarys_takes_one(method: str) -> None:
    here, there = Pipe()
    child = started(multiprocessing.get_context(method), peers.say, there, "hello")
    there.close()
    assert here.recv() == "hello"
    here.close()
    assert ended(child) == 0


def test_a_connection_is_sent_through_another(ctx: Any) -> None:
    here, there = Pipe()
    child = started(ctx, peers.say_through_one_that_comes, there)
    there.close()
    receiver, sender = Pipe(duplex=False)
    here.send(sender)
    sender.close()
    assert receiver.recv() == "through what was sent"
    with pytest.raises(EOFError):
        receiver.recv()
    for end in (here, receiver):
        end.close()
    assert ended(child) == 0


def test_what_arrives_is_what_was_sent(pair: tuple[Any, Any]) -> None:
    receiver, sender = Pipe(duplex=False)
    with receiver, sender:
        for end in (receiver, sender):
            pair[0].send([end])
            (arrived,) = pair[1].recv()
            with arrived:
                assert type(arrived) is Connection
                assert (arrived.readable, arrived.writable) == (end.readable, end.writable)
                assert arrived.fileno() != end.fileno()


def test_the_standard_librarys_connections_are_sent(pair: tuple[Any, Any]) -> None:
    here, there = multiprocessing.Pipe()
    with here, there:
        pair[0].send(there)
        with pair[1].recv() as arrived:
            assert type(arrived) is type(there)
            arrived.send("hello")
            assert here.recv() == "hello"


def test_ours_are_sent_through_the_standard_librarys(pair: tuple[Any, Any]) -> None:
    here, there = multiprocessing.Pipe()
    with here, there:
        here.send(pair[0])
        with there.recv() as arrived:
            arrived.send("hello")
            assert pair[1].recv() == "hello"


def test_a_connection_is_an_argument_of_a_task_and_its_result(ctx: Any) -> None:
    here, there = Pipe()
    with here, there, ctx.Pool(1) as pool:
        closed, pid = pool.apply(peers.is_open, (there,))
        assert closed
        assert here.recv() == pid
        with pool.apply(peers.make_pipe, (there,)) as arrived:
            arrived.send("around")
            assert here.recv() == "around"
        pool.close()
        pool.join()


def test_a_connection_goes_through_a_queue(ctx: Any) -> None:
    here, there = Pipe()
    queue = ctx.SimpleQueue()
    queue.put(there)
    with here, there, queue.get() as arrived:
        arrived.send("hello")
        assert here.recv() == "hello"
    queue.close()


def test_what_was_pickled_once_is_unpickled_once(capsys: pytest.CaptureFixture[str]) -> None:
    here, there = Pipe()
    with here, there:
        pickled = pickle.dumps(there)
        pickle.loads(pickled).close()
        with pytest.raises(OSError, match="can not be fetched from where it was sent") as caught:
            pickle.loads(pickled)
        assert isinstance(caught.value.__cause__, EOFError | ConnectionError)
        multiprocessing.resource_sharer.stop()
        assert "KeyError" in capsys.readouterr().err  # of the thread that serves


def test_what_comes_from_a_process_that_has_ended_says_so(run_script: RunScript) -> None:
    done = run_script(
        "import pickle, procession as mp\n"
        "from procession.connection import Pipe\n"
        "def give(conn):\n"
        "    conn.send_bytes(pickle.dumps(Pipe()[0]))\n"
        "here, there = Pipe()\n"
        "child = mp.get_context('fork').Process(target=give, args=(there,))\n"
        "child.start()\n"
        "child.join()\n"
        "try:\n"
        "    here.recv()\n"
        "except OSError as error:\n"
        "    print(error)\n"
        "    print(isinstance(error.__cause__, OSError))\n"
    )
    assert done.stderr == ""
    message, cause = done.stdout.splitlines()
    assert "that process has ended" in message
    assert cause == "True"


def test_what_the_standard_library_knows_is_loaded_when_it_is_needed(run_script: RunScript) -> None:
    done = run_script(
        "import sys, socket\n"
        "from procession.connection import Pipe\n"
        "here, there = Pipe()\n"
        "def send(value):\n"
        "    here.send(value)\n"
        "    return there.recv()\n"
        "def count():\n"
        "    return len([name for name in sys.modules if name.startswith('multiprocessing')])\n"
        "near, far = socket.socketpair()\n"
        "print(send(['plain', {}]), count())\n"
        "print(send(lambda: far.fileno())() != far.fileno(), count() > 0)\n"
        "near.sendall(b'hello')\n"
        "print(send([far])[0].recv(5))\n"
    )
    assert done.stderr == ""
    assert done.stdout == "['plain', {}] 0\nTrue True\nb'hello'\n"


def test_a_closed_connection_does_not_travel(pair: tuple[Any, Any]) -> None:
    here, there = Pipe()
    for end in (here, there):
        end.close()
    with pytest.raises(OSError, match="handle is closed"):
        pair[0].send(here)
    assert not pair[1].poll()


def test_a_descriptor_is_looked_up_once_and_belongs_to_the_connection() -> None:
    class Carried:
        def __init__(self, fd: int) -> None:
            self.fd = fd

        def detach(self) -> int:
            return self.fd

    here, there = Pipe()
    fd = os.dup(there.fileno())
    with here, there, rebuild_connection(Carried(fd), True, False) as made:
        assert (made.fileno(), made.readable, made.writable) == (fd, True, False)
