"""Messages of 3 GiB, and of more than 4, pass on every road where memory allows it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import procession
from procession import _core
from tests.memory import loads

SIZES = {"3 GiB": 3 * loads.GIB, "4 GiB and a bit": 4 * loads.GIB + 5}
NEEDED = 16 * loads.GIB


def available() -> int:
    """Bytes of memory that the system can still give."""
    with open("/proc/meminfo") as file:
        fields = dict(line.split(":") for line in file)
    return int(fields["MemAvailable"].split()[0]) << 10


pytestmark = [
    pytest.mark.chaos,
    pytest.mark.watchdog(600),
    pytest.mark.skipif(
        os.environ.get("PROCESSION_CHAOS", "short") != "long", reason="takes minutes: CHAOS=long"
    ),
    pytest.mark.skipif(available() < NEEDED, reason="needs 16 GiB of memory that nobody uses"),
    pytest.mark.parametrize("size", SIZES.values(), ids=SIZES),
    pytest.mark.parametrize("kind", ["array", "bytes"]),
]


@pytest.fixture(autouse=True)
def _all_is_given_back() -> Iterator[None]:
    """Between two tests nobody keeps such pages warm."""
    yield
    _core.sweep()
    assert _core.arena_statistics()["block_bytes"] < loads.GIB
    _core.trim()


def is_whole(kind: str, size: int) -> tuple[str, int, bool]:
    """What ``describe`` says of what has arrived."""
    return {"array": "ndarray", "bytes": "bytes"}[kind], size, True


@pytest.mark.parametrize("duplex", [True, False])
def test_a_pipe(kind: str, size: int, duplex: bool) -> None:
    receiver, sender = procession.Pipe(duplex)
    with receiver, sender:
        thread = threading.Thread(target=sender.send, args=(loads.make(kind, size),))
        thread.start()
        received = receiver.recv()
        thread.join()
        assert loads.describe(received) == is_whole(kind, size)


def test_bytes_through_a_pipe(kind: str, size: int) -> None:
    receiver, sender = procession.Pipe(duplex=False)
    with receiver, sender:
        thread = threading.Thread(target=sender.send_bytes, args=(loads.make(kind, size),))
        thread.start()
        received = receiver.recv_bytes()
        thread.join()
        assert loads.describe(received) == is_whole("bytes", size)


@pytest.mark.parametrize("make", ["Queue", "SimpleQueue", "JoinableQueue"])
def test_a_queue_to_a_child(kind: str, size: int, make: str) -> None:
    queue: Any = getattr(procession, make)()
    receiver, sender = procession.Pipe(duplex=False)
    child = procession.Process(target=loads.describe_all, args=(queue, sender, 1))
    child.start()
    sender.close()
    queue.put(loads.make(kind, size))
    with receiver:
        assert receiver.recv() == is_whole(kind, size)
    child.join()
    child.close()
    queue.close()


def test_many_at_once_through_a_queue(kind: str, size: int) -> None:
    queue: Any = procession.Queue()
    assert queue.put_many([1, loads.make(kind, size), 2]) == 3
    first, received, last = queue.get_many(3)
    assert (first, last) == (1, 2)
    assert loads.describe(received) == is_whole(kind, size)
    queue.close()


def test_an_argument(kind: str, size: int) -> None:
    with procession.Pool(1) as pool:
        assert pool.apply(loads.describe, (loads.make(kind, size),)) == is_whole(kind, size)
    pool.join()


def test_an_argument_of_a_map(kind: str, size: int) -> None:
    with procession.Pool(1) as pool:
        things = [loads.make(kind, 100), loads.make(kind, size)]
        assert pool.map(loads.describe, things)[1] == is_whole(kind, size)
    pool.join()


def test_a_result(kind: str, size: int) -> None:
    with procession.Pool(1) as pool:
        received = pool.apply(loads.make, (kind, size))
        assert loads.describe(received) == is_whole(kind, size)
    pool.join()


def test_a_result_of_a_map(kind: str, size: int) -> None:
    with procession.Pool(1) as pool:
        sizes = [(kind, 100), (kind, size)]
        received = pool.starmap(loads.make, sizes)[1]
        assert loads.describe(received) == is_whole(kind, size)
    pool.join()


def test_a_future(kind: str, size: int) -> None:
    with procession.Executor(1) as executor:
        future = executor.submit(loads.describe, loads.make(kind, size))
        assert future.result() == is_whole(kind, size)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_an_argument_of_a_process(kind: str, size: int, method: str) -> None:
    receiver, sender = procession.Pipe(duplex=False)
    thing = loads.make(kind, size)
    child = procession.get_context(method).Process(target=loads.describe_to, args=(sender, thing))
    child.start()
    del thing
    sender.close()
    with receiver:
        assert receiver.recv() == is_whole(kind, size)
    child.join()
    child.close()
