"""A process dies at each step of sending shared memory: nothing of it outlives queue or pipe."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import procession
from procession import _core
from procession._core import Memory
from procession.errors.sync import ShutDown

_PROGRAM = Path(__file__).with_name("dying_with_names.py")

CONTENT = bytes(range(256)) * 400

# More pins than are remembered; apart, for the tables that grow stay.
_MANY = """
import os, procession
from procession import _core
queue = procession.Queue()
if not (child := os.fork()):
    queue.put([_core.Memory.holding([b"a" * 8]) for _ in range(5000)])
    os._exit(0)
os.waitpid(child, 0)
_core.sweep()
assert [memory.read(0, 8) for memory in queue.get()] == [b"a" * 8] * 5000
"""


@pytest.mark.watchdog(180)
@pytest.mark.parametrize(
    ("how", "most"),
    [("queue", 3), ("large", 4), ("pipe", 2), ("lent", 3), ("parcel", 0)],
)
def test_nothing_is_left(how: str, most: int, failpoint_environment: dict[str, str]) -> None:
    """At most one message until the way has gone, and a queue's first segment."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(_PROGRAM), how],
        env=failpoint_environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    *deaths, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(deaths) >= 20
    assert all(report["died"] for report in deaths)
    assert not last["died"]
    assert last["came"] == (how != "parcel")
    for report in [*deaths, last]:
        assert report["left"] == 0
        assert 0 <= report["meanwhile"] <= most
        assert report["right"]
        assert report["arena"] is None
    assert sum(report["meanwhile"] == 0 for report in deaths) > len(deaths) / 2


@pytest.fixture
def grown() -> Iterator[Callable[[], int]]:
    """How many blocks there are more than before."""
    gc.collect()
    before = _core.arena_statistics()["blocks"]

    def more() -> int:
        gc.collect()
        _core.sweep()
        return _core.arena_statistics()["blocks"] - before

    yield more
    assert more() == 0


def test_what_does_not_go_into_a_queue_is_withdrawn(grown: Callable[[], int]) -> None:
    queue = procession.Queue(1)
    queue.put(None)
    kept = grown()
    with pytest.raises(procession.queues.Full):
        queue.put_nowait(Memory.holding([CONTENT]))
    assert grown() == kept
    queue.shutdown()
    with pytest.raises(ShutDown):
        queue.put(Memory.holding([CONTENT]))
    assert grown() == kept
    queue.get()


def test_what_does_not_go_through_a_pipe_is_withdrawn(grown: Callable[[], int]) -> None:
    here, there = procession.Pipe()
    there.close()
    for rest in (b"", CONTENT * 4):
        with pytest.raises(ConnectionError):
            here.send((Memory.holding([CONTENT]), rest))
        assert grown() == 0
    here.close()


def test_what_was_sent_inside_of_a_pickling_that_fails_arrives(grown: Callable[[], int]) -> None:
    inner = procession.Queue()
    outer = procession.Queue()

    class Sends:
        def __reduce__(self) -> str:
            inner.put(Memory.holding([CONTENT]))
            raise ValueError("not this one")

    with pytest.raises(ValueError, match="not this one"):
        outer.put(Sends())
    while not inner.empty():  # both ways of pickling were tried
        assert inner.get().read(0, len(CONTENT)) == CONTENT


def _fork(work: Callable[[], object]) -> None:
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    _core.sweep()


def test_more_handles_than_are_remembered_arrive_after_their_sender() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _MANY], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_what_was_put_in_together_arrives_after_its_sender(grown: Callable[[], int]) -> None:
    queue = procession.Queue()
    _fork(lambda: queue.put_many(Memory.holding([CONTENT]) for _ in range(100)))
    for _ in range(100):
        assert queue.get().read(0, len(CONTENT)) == CONTENT
