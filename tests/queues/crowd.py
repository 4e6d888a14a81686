"""Producers and consumers of one queue that are killed at any moment, and what becomes of it.

Each process writes down what it has done, right behind doing it. So what a killed one did and did
not write down is little: that many objects at most may be missing, and the queue says how many.
"""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import procession
from procession import _core
from procession.queues import JoinableQueue

BATCH = 7
"""Objects that are put in, or taken out, at once, at most."""
MOST = 5000
"""Objects that may pile up in a queue without a limit."""
LARGE = bytes(_core.INLINE_LIMIT + 1)

_LINE = struct.Struct("=II")


class Notes:
    """A file of pairs of numbers that one process writes, and another reads when it is dead."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def open(self) -> None:
        """In the writing process."""
        self._descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND)

    def write(self, pairs: list[tuple[int, int]]) -> None:
        """All of them, or none."""
        os.write(self._descriptor, b"".join(_LINE.pack(*pair) for pair in pairs))

    def read(self) -> Iterator[tuple[int, int]]:
        """What was written."""
        return _LINE.iter_unpack(self.path.read_bytes())


def produce(queue: Any, number: int, notes: Notes) -> None:
    """Put (number, 0), (number, 1) ... in, in all ways there are."""
    choice = random.Random(number)
    notes.open()
    count = 0
    while True:
        while queue.qsize() > MOST:
            os.sched_yield()
        batch = [(number, n) for n in range(count, count + choice.randrange(1, BATCH + 1))]
        if choice.random() < 0.3:
            queue.put_many((*pair, b"") for pair in batch)
        else:
            del batch[1:]
            queue.put((number, count, LARGE if choice.random() < 0.05 else b""))
        notes.write(batch)
        count += len(batch)


def consume(queue: Any, number: int, notes: Notes) -> None:
    """Take them out, in all ways there are."""
    choice = random.Random(number)
    notes.open()
    while True:
        got = queue.get_many(BATCH) if choice.random() < 0.3 else [queue.get()]
        notes.write([thing[:2] for thing in got])
        for _ in got:
            queue.task_done()


class Crowd:
    """Four of each, one of which at a time is killed and replaced.

    Args:
        maxsize: of their queue.
    """

    def __init__(self, folder: Path, seed: int, maxsize: int) -> None:
        self.queue: JoinableQueue = JoinableQueue(maxsize)
        self.killed = 0
        self._folder = folder
        self._choice = random.Random(seed)
        self._context = procession.get_context("fork")
        self._number = 0
        self._members = [self._begin(work) for work in [produce, consume] * 4]
        self.put: set[tuple[int, int]] = set()  # what producers say they have put in
        self.taken: list[tuple[int, int]] = []  # what consumers say they have taken out
        self.lost = 0  # what dead consumers had taken, and did not say so

    def _begin(self, work: Any) -> Any:
        self._number += 1
        notes = Notes(self._folder / str(self._number))
        process = self._context.Process(target=work, args=(self.queue, self._number, notes))
        process.start()
        return work, notes, process

    def kill_one(self) -> None:
        """Kill one of them, and put another one in its place."""
        place = self._choice.randrange(len(self._members))
        work = self._members[place][0]
        self._kill(place)
        self._members[place] = self._begin(work)

    def _kill(self, place: int) -> None:
        work, notes, process = self._members[place]
        process.kill()
        process.join()
        self.killed += 1
        said = list(notes.read())
        notes.path.unlink()
        if work is produce:
            self.put.update(said)
        else:
            self.taken += said
            records = [one for one in self.queue._takings() if one[0] == process.pid]
            # None: it has not even begun, or was swept with nothing taken.
            taken = sum(record[2] for record in records)
            last = sum(record[5] - record[4] for record in records)
            assert 0 <= taken - len(said) <= last, (taken, len(said), last)
            self.lost += taken - len(said)
            self._all_taken += taken
        self.queue.recover()
        process.close()

    _all_taken = 0

    def settle(self) -> None:
        """Kill the rest, take out what is left, and check that all of it adds up."""
        for place in range(len(self._members)):
            self._kill(place)
        assert self.queue._validate() is None
        assert _core.validate() is None
        put, taken = self.queue._ends()
        assert taken == self._all_taken
        assert self.queue.qsize() == put - taken
        while not self.queue.empty():
            self.taken += [thing[:2] for thing in self.queue.get_many(1000)]
        assert len(self.taken) == len(set(self.taken)), "an object was taken twice"
        assert put == len(self.taken) + self.lost
        assert len(self.put - set(self.taken)) <= self.lost, "an object is lost"
        # What was put and not said so is a dead producer's last batch.
        unsaid = set(self.taken) - self.put
        assert put - len(self.put) <= self.killed * BATCH
        assert len(unsaid) <= put - len(self.put) + self.lost
