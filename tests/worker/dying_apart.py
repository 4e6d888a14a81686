"""A program with fail points: one dies at its n-th step with payloads whose buffers are apart.

    python -m tests.worker.dying_apart SCENARIO

For n = 1, 2, 3 ... a forked child goes through the scenario, and dies at the n-th fail point that
it passes. Those that are left go on and look: what arrived is whole, and when the dead is swept
there are as many blocks and objects as before. It prints a line of JSON for each n, until one in
which nobody died.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from procession import _core
from procession._codec import messages
from procession._core import Channel
from procession.queues import Queue
from tests.queues.apart import Parcel, parcels
from tests.worker.apart import Sender, opened, pattern

SIZES = (70_000, 0, 7, 300_000)
PAYLOADS = 3


class Report(NamedTuple):
    """What came of one run."""

    number: int
    died: bool
    arrived: int
    blocks: int
    objects: int
    wrong: str | None


def parts(number: int) -> list[bytes]:
    """The buffers of one payload."""
    return [pattern(number + at, size)[:size] for at, size in enumerate(SIZES)]


def check(payload: Any, number: int) -> None:
    """It is whole."""
    body, buffers = opened(payload, SIZES)
    assert body == b"body"
    assert buffers == parts(number)


def in_use() -> tuple[int, int]:
    """Blocks and objects."""
    _core.sweep()
    objects = _core.census(_core.arena_descriptor())[2]
    return _core.arena_statistics()["blocks"], len(objects)


def dying(number: int, work: Callable[[], object]) -> bool:
    """Do some work in a child with a fail point; whether it died of that."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            _core.join()
            _core.failpoint_arm(number)
            work()
            _core.failpoint_arm(0)
            code = 0
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, -signal.SIGKILL), code
    return code != 0


# ---- a pool's results


def answers(number: int, serve: Callable[[Channel, int, int], object]) -> tuple[bool, int]:
    """A worker dies while it answers; its parent collects, buries, and goes on."""
    worker = Sender()
    try:

        def serve_and_die(channel: Channel, task: int, items: int) -> None:
            if task == 1:
                _core.failpoint_arm(number)
            serve(channel, task, items)

        entries = [worker.submit(PAYLOADS), worker.submit(PAYLOADS)]
        worker.start(serve_and_die)
        worker.channel.close()
        fd = os.pidfd_open(worker.pid)
        while not select.select([fd], [], [], 0.001)[0]:
            worker.channel.collect(worker.open, worker.arrivals)
        os.close(fd)
        code = worker.ended()
        assert code in (0, -signal.SIGKILL), code
        worker.channel.collect(worker.open, worker.arrivals)
        remains = worker.channel.bury(0)
        arrived = len(worker.arrivals)
        while worker.arrivals:
            entry, kind, payload, _, first, end = worker.arrivals.popleft()
            if not isinstance(payload, bytes):
                check(payload, entry.number * 10 + (first if end == first + 1 else 0))
            elif payload:
                assert kind & ~messages.PART == messages.OUTCOMES
            del payload
        is_open = [entry.number for entry in entries if entry.number in worker.open]
        assert code or not is_open
        assert remains is None or code
        worker.open.clear()
        return code != 0, arrived
    finally:
        worker.dismiss()


def answer(channel: Channel, task: int, _: int) -> None:
    """All of it at once."""
    channel.answer(task, messages.VALUE, b"body", parts(task * 10))


def run(channel: Channel, task: int, items: int) -> None:
    """Item by item, and one that is small between two of them."""

    class Value(int):
        pass

    def encode(value: Value) -> Any:
        return b"small" if value == 1 else (b"body", parts(task * 10 + value))

    channel.run(
        Value, range(items), False, False, False, encode, lambda error: repr(error).encode()
    )


def receive(number: int) -> tuple[bool, int]:
    """Who answers, collects, looks and lets go is one process, whose channel goes with it."""

    def work() -> None:
        worker = Sender()
        worker.channel.sit(0)
        worker.submit()
        task = worker.channel.claim()
        assert task is not None
        worker.channel.answer(task[0], messages.VALUE, b"body", parts(1))
        worker.channel.collect(worker.open, worker.arrivals)
        payload = worker.arrivals.popleft()[2]
        check(payload, 1)
        del payload
        worker.channel.release()

    return dying(number, work), 0


# ---- queues


def taken(queue: Any) -> list[Any]:
    """All that is there."""
    found = []
    while not queue.empty():
        found += queue.get_many(9)
    return found


def put_and_take(queue: Any) -> None:
    """As if nothing had happened."""
    queue.put(Parcel(*parts(99), note="more"))
    assert taken(queue) == [Parcel(*parts(99), note="more")]


def put(number: int, many: bool) -> tuple[bool, int]:
    """A producer dies."""
    queue: Any = Queue()
    items = [Parcel(*parts(at), note=at) for at in range(PAYLOADS)]

    def work() -> None:
        if many:
            queue.put_many(items)
        else:
            for item in items:
                queue.put(item)

    died = dying(number, work)
    found = taken(queue)
    assert found == items[: len(found)]
    assert died or len(found) == PAYLOADS
    arrived = len(found)
    del found
    put_and_take(queue)
    blocks = in_use()[0]
    put_and_take(queue)
    assert in_use()[0] <= blocks  # nothing of the dead one's is waiting for the queue's end
    assert blocks - BEFORE[0] <= 2  # a segment, and a spare one
    return died, arrived


def get(number: int, many: bool) -> tuple[bool, int]:
    """A consumer dies."""
    queue: Any = Queue()
    items = [Parcel(*parts(at), note=at) for at in range(PAYLOADS)]
    for item in items:
        queue.put(item)

    def work() -> None:
        got = queue.get_many(2) if many else [queue.get()]
        assert got == items[: len(got)]
        got.clear()

    died = dying(number, work)
    found = taken(queue)
    assert found == items[PAYLOADS - len(found) :]
    assert died or len(found) == PAYLOADS - (2 if many else 1)
    arrived = len(found)
    del found
    put_and_take(queue)
    assert in_use()[0] - BEFORE[0] <= 2
    return died, arrived


SCENARIOS: dict[str, Callable[[int], tuple[bool, int]]] = {
    "answer": lambda number: answers(number, answer),
    "run": lambda number: answers(number, run),
    "receive": receive,
    "put": lambda number: put(number, False),
    "put_many": lambda number: put(number, True),
    "get": lambda number: get(number, False),
    "get_many": lambda number: get(number, True),
}

BEFORE = (0, 0)


@contextlib.contextmanager
def counted() -> Iterator[None]:
    """Blocks and objects are counted from here."""
    global BEFORE
    BEFORE = in_use()
    yield


def main(scenario: str) -> None:
    """Die at every fail point once."""
    _core.join()
    number = 0
    died = True
    with parcels(), counted():
        while died:
            number += 1
            died, arrived = SCENARIOS[scenario](number)
            blocks, objects = in_use()
            report = Report(
                number, died, arrived, blocks - BEFORE[0], objects - BEFORE[1], _core.validate()
            )
            print(json.dumps(report._asdict()), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
