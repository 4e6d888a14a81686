"""The feeder: what found no room in the ring is sent later, in order."""

from __future__ import annotations

from typing import Any

import pytest

from procession._engine.entries import Task
from procession._engine.feeding import Feeder
from procession._engine.options import PLAIN


class Ring:
    """Takes so many records."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.taken: list[Any] = []

    def send(self, record: Any) -> bool:
        if not self.room:
            return False
        self.room -= 1
        record.block = 0
        self.taken.append(record)
        return True


class Job:
    """A call of so many records, of which it makes one at each chance."""

    is_short = False

    def __init__(self, left: int, log: list[str], name: str) -> None:
        self.left = left
        self._log = log
        self._name = name

    def feed(self) -> None:
        self.left -= 1
        self._log.append(self._name)

    def abandon(self, error: BaseException | None = None) -> None:
        self.left = 0

    @property
    def all_sent(self) -> bool:
        return self.left <= 0


def test_a_new_feeder_is_empty() -> None:
    ring = Ring(10)
    feeder = Feeder(ring.send)
    assert feeder.is_empty
    feeder.feed_records()
    feeder.feed_jobs()
    assert ring.taken == []


@pytest.mark.parametrize("room", range(6))
def test_records_are_sent_in_order_as_far_as_there_is_room(room: int) -> None:
    ring = Ring(room)
    feeder = Feeder(ring.send)
    records = [Task(None, abs, PLAIN) for _ in range(5)]
    feeder.records.extend(records)
    feeder.feed_records()
    assert ring.taken == records[:room]
    assert list(feeder.records) == records[room:]
    assert feeder.is_empty == (room == 5)
    ring.room = 10
    feeder.feed_records()
    assert ring.taken == records
    assert feeder.is_empty


def test_a_full_ring_loses_nothing_however_often_it_is_tried() -> None:
    ring = Ring(0)
    feeder = Feeder(ring.send)
    records = [Task(None, abs, PLAIN) for _ in range(3)]
    feeder.records.extend(records)
    for _ in range(10):
        feeder.feed_records()
    assert list(feeder.records) == records
    for sent in range(1, 4):
        ring.room = 1
        feeder.feed_records()
        assert ring.taken == records[:sent]


@pytest.mark.parametrize("block", [0, 17])
def test_what_was_sent_before_an_interrupt_is_not_sent_again(block: int) -> None:
    ring = Ring(10)
    feeder = Feeder(ring.send)
    sent, waiting = Task(None, abs, PLAIN), Task(None, abs, PLAIN)
    sent.block = block
    feeder.records.extend([sent, waiting])
    feeder.feed_records()
    assert ring.taken == [waiting]
    assert feeder.is_empty


def test_an_interrupt_while_sending_keeps_the_record() -> None:
    def interrupted(_: Any) -> bool:
        raise KeyboardInterrupt

    feeder = Feeder(interrupted)
    record = Task(None, abs, PLAIN)
    feeder.records.append(record)
    with pytest.raises(KeyboardInterrupt):
        feeder.feed_records()
    assert list(feeder.records) == [record]


def test_jobs_take_turns_in_the_order_they_came() -> None:
    log: list[str] = []
    feeder = Feeder(Ring(0).send)
    long, short = Job(3, log, "long"), Job(1, log, "short")
    feeder.jobs.update({long: None, short: None})
    feeder.feed_jobs()
    assert log == ["long", "short"]
    assert list(feeder.jobs) == [long]
    assert not feeder.is_empty
    feeder.feed_jobs()
    feeder.feed_jobs()
    feeder.feed_jobs()
    assert log == ["long", "short", "long", "long"]
    assert feeder.is_empty


def test_a_job_may_add_jobs_and_remove_them() -> None:
    log: list[str] = []
    feeder = Feeder(Ring(0).send)
    new = Job(2, log, "new")

    class Meddling(Job):
        def feed(self) -> None:
            super().feed()
            feeder.jobs.pop(self, None)
            feeder.jobs[new] = None

    feeder.jobs[Meddling(1, log, "meddling")] = None
    feeder.feed_jobs()
    assert list(feeder.jobs) == [new]
    feeder.feed_jobs()
    feeder.feed_jobs()
    assert log == ["meddling", "new", "new"]
    assert feeder.is_empty
