"""Arrays of random sizes through workers that are killed: what is delivered equals its source.

Every byte that was on its way, in whatever hands, is given back in the end.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.field.doors import Executor, Pool, mp, outcome
from tests.field.killing import killer
from tests.pool.arrays import Array, checksum, given_back, in_use

IS_LONG = os.environ.get("PROCESSION_CHAOS", "short") == "long"
ARRAYS = 10_000 if IS_LONG else 300
QUICK_ARRAYS = 300
LARGEST = 64 << 20
QUICK_LARGEST = 4 << 20
WORKERS = 4
PAUSE = 0.05
"""Seconds between two kills."""

BATCH = 40


class Sent(NamedTuple):
    """An array, and what it is made of."""

    begin: int
    array: Array
    check: int


class Source:
    """Gives so many arrays: of all magnitudes alike, up to the largest.

    Every other one is a part of a larger array, whose other parts are sent, too.
    """

    def __init__(self, seed: int, count: int, largest: int) -> None:
        self._choice = random.Random(seed)
        self._count = count
        self._largest = largest
        self._bytes = np.frombuffer(random.Random(seed).randbytes(largest + 4096), np.uint8)

    def __iter__(self) -> Iterator[Sent]:
        for at in range(self._count):
            size = max(1, int(self._largest ** self._choice.random()))
            begin = self._choice.randrange(4096)
            part = self._bytes[begin : begin + size]
            yield Sent(begin, part if at % 2 else part.copy(), checksum(part))

    def check(self, sent: Sent, came: Any) -> bool:
        """Whether it was delivered; then it is right."""
        if isinstance(came, mp.WorkerDied):
            return False
        check, array = came
        assert check == sent.check
        assert array.flags.writeable
        begin = sent.begin
        assert np.array_equal(~array, self._bytes[begin : begin + len(sent.array)])
        return True


def _invert(sent: tuple[int, Array, int]) -> tuple[int, Array]:
    """Tells what came, and writes to it."""
    _, array, _ = sent
    check = checksum(array)
    if not array.flags.writeable:  # as the sender's is
        array = array.copy()
    np.bitwise_not(array, out=array)
    return check, array


def _single(made: Any, source: Source) -> Iterator[tuple[Sent, Any]]:
    waiting: list[tuple[Sent, Any]] = []
    for sent in source:
        waiting.append((sent, made.apply_async(_invert, (tuple(sent),))))
        if len(waiting) >= 4 * WORKERS:
            first, result = waiting.pop(0)
            yield first, outcome(result.get, mp.WorkerDied)
    for first, result in waiting:
        yield first, outcome(result.get, mp.WorkerDied)


def _futures(made: Any, source: Source) -> Iterator[tuple[Sent, Any]]:
    for batch in _batches(source):
        futures = [made.submit(_invert, tuple(sent)) for sent in batch]
        while futures:
            yield batch.pop(0), outcome(futures.pop(0).result, mp.WorkerDied)


def _map(made: Any, source: Source) -> Iterator[tuple[Sent, Any]]:
    for batch in _batches(source):
        yield from zip(batch, made.map(_invert, map(tuple, batch)), strict=True)


def _imap(made: Any, source: Source) -> Iterator[tuple[Sent, Any]]:
    sent: list[Sent] = []

    def items() -> Iterator[Any]:
        for one in source:
            sent.append(one)
            yield tuple(one)

    for came in made.imap(_invert, items()):
        yield sent.pop(0), came


def _batches(source: Source) -> Iterator[list[Sent]]:
    batch: list[Sent] = []
    for sent in source:
        batch.append(sent)
        if len(batch) >= BATCH:
            yield batch
            batch = []
    yield batch


_CALLS = {"single": _single, "futures": _futures, "map": _map, "imap": _imap}


def _run(kind: str, count: int, largest: int, retries: int) -> None:
    before = in_use()
    source = Source(count, count, largest)
    delivered = lost = 0
    door = partial(Executor if kind == "futures" else Pool, WORKERS, retries=retries)
    with door() as made, killer(7, PAUSE) as killed:
        view = made.options(errors="return") if kind in ("map", "imap") else made
        for sent, came in _CALLS[kind](view, source):
            if source.check(sent, came):
                delivered += 1
            else:
                lost += 1
            del sent, came
    if kind != "futures":
        made.join()
    assert delivered + lost == count
    assert lost <= len(killed)
    del made, view
    given_back(before, 0)


CALLS = pytest.mark.parametrize("kind", list(_CALLS))


@CALLS
@pytest.mark.parametrize("retries", [0, 3])
def test_arrays_arrive_as_they_are_or_not_at_all(kind: str, retries: int) -> None:
    _run(kind, QUICK_ARRAYS, QUICK_LARGEST, retries)


@pytest.mark.chaos
@pytest.mark.watchdog(1800)
@CALLS
def test_long_arrays_arrive_as_they_are_or_not_at_all(kind: str) -> None:
    _run(kind, ARRAYS, LARGEST, retries=2)
