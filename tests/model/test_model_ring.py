"""The ring (core/ring.md): records whole, in order, each once, whoever dies.

Two producers push into room for two records, two consumers pop. A record is two words, so that a
torn one shows. The locks are taken for granted here: free, or a dead owner's to be inherited
(test_model_lock.py).
"""

from __future__ import annotations

import pytest

from tests.model.explore import STEP, Steps, Violation, World, explore

CAPACITY = 2


class Ring(World):
    """Producers P and Q, consumers C and D, one ring.

    Args:
        pushes: how many records each producer makes.
        bytes_first: a record is written before it is published.
        releases: and not seen before it, either.
        reads_first: a record is read before it is retired.
        asks_for_room: the producer looks at `tail` before it writes.
        head_under_lock: where the record goes is read by who has the lock.
    """

    def __init__(
        self,
        *,
        pushes: tuple[int, int] = (2, 1),
        bytes_first: bool = True,
        releases: bool = True,
        reads_first: bool = True,
        asks_for_room: bool = True,
        head_under_lock: bool = True,
    ) -> None:
        super().__init__(
            head=0,
            tail=0,
            produce="",
            consume="",
            a0="",
            b0="",
            a1="",
            b1="",
            pushed=(),
            popped=(),
        )
        self.bytes_first = bytes_first
        self.releases = releases
        self.reads_first = reads_first
        self.asks_for_room = asks_for_room
        self.head_under_lock = head_under_lock
        for name, count in zip("PQ", pushes, strict=True):
            if count:
                self.add(name, self.push_all(name, count), mortal=True)
        for name in "CD":
            self.add(name, self.pop_all(name), mortal=True)

    def records(self, word: str) -> tuple[str, ...]:
        """A word that holds a list of records."""
        value = self.words[word]
        assert isinstance(value, tuple)
        return tuple(str(record) for record in value)

    def lock(self, me: str, word: str) -> Steps:
        """Take a lock that is free or a dead one's: neither side has anything to mend."""
        yield lambda: self.words[word] == "" or self.words[word] in self.dead
        self.exchange(me, word, self.words[word], me)

    def unlock(self, me: str, word: str) -> Steps:
        """Leave it."""
        yield STEP
        assert self.exchange(me, word, me, ""), "the lock is another one's"

    def push_all(self, me: str, count: int) -> Steps:
        """A producer: see pcn_ring_push()."""
        for number in range(count):
            record = f"{me}{number}"
            early = 0
            if not self.head_under_lock:
                yield STEP
                early = self.number(me, "head")
            while True:
                yield from self.lock(me, "produce")
                yield STEP
                head = self.number(me, "head") if self.head_under_lock else early
                if not self.asks_for_room or head - self.number(me, "tail") < CAPACITY:
                    break
                yield from self.unlock(me, "produce")
                yield lambda: self.number(me, "head") - self.number(me, "tail") < CAPACITY
            for write in (self.bytes_first, not self.bytes_first):
                yield STEP
                if write:
                    self.store(me, f"a{head % CAPACITY}", record)
                    yield STEP
                    self.store(me, f"b{head % CAPACITY}", record)
                else:
                    self.store(me, "head", head + 1, release=self.releases)
                    self.note("pushed", (*self.records("pushed"), record))
            yield from self.unlock(me, "produce")

    def pop_all(self, me: str) -> Steps:
        """A consumer: until nothing is there and nobody is left to push."""
        while True:
            yield from self.lock(me, "consume")
            yield STEP
            tail = self.number(me, "tail")
            if self.number(me, "head") == tail:
                yield from self.unlock(me, "consume")
                yield lambda: self.words["head"] != self.words["tail"] or self.is_over()
                if self.words["head"] == self.words["tail"]:
                    return
                continue
            for read in (self.reads_first, not self.reads_first):
                yield STEP
                if read:
                    first = self.load(me, f"a{tail % CAPACITY}")
                    yield STEP
                    second = self.load(me, f"b{tail % CAPACITY}")
                    expected = self.records("pushed")[tail]
                    assert first == second == expected, f"{expected} is read as {first}, {second}"
                else:
                    self.store(me, "tail", tail + 1, release=True)
                    self.note("popped", (*self.records("popped"), self.records("pushed")[tail]))
            yield from self.unlock(me, "consume")

    def is_over(self) -> bool:
        """No producer is left."""
        return all(self.ended(name) or name in self.dead for name in "PQ" if name in self.processes)

    def finish(self) -> None:
        super().finish()
        pushed, popped = self.records("pushed"), self.records("popped")
        if not self.dead >= {"C", "D"}:
            assert popped == pushed, f"pushed {pushed}, popped {popped}"
        for name in "PQ":
            if self.ended(name):
                mine = [record for record in pushed if record.startswith(name)]
                assert mine == sorted(set(mine)), "a record is lost, doubled or overtaken"


BROKEN = "is read as|pushed"


def test_records_are_whole_in_order_and_each_once() -> None:
    assert explore(lambda: Ring(pushes=(2, 1))) > 1000


def test_a_death_leaves_a_whole_record_or_none() -> None:
    assert explore(lambda: Ring(pushes=(1, 1)), deaths=2) > 1000


def test_one_producer_goes_round_while_others_die() -> None:
    assert explore(lambda: Ring(pushes=(3, 0)), deaths=1) > 1000


def test_a_record_must_be_written_before_it_is_published() -> None:
    with pytest.raises(Violation, match=BROKEN):
        explore(lambda: Ring(bytes_first=False))


def test_a_record_must_be_visible_before_it_is_published() -> None:
    with pytest.raises(Violation, match=BROKEN):
        explore(lambda: Ring(releases=False))


def test_a_record_must_be_read_before_it_is_retired() -> None:
    with pytest.raises(Violation, match=BROKEN):
        explore(lambda: Ring(pushes=(3, 0), reads_first=False))


def test_a_full_ring_must_be_waited_for() -> None:
    with pytest.raises(Violation, match=BROKEN):
        explore(lambda: Ring(pushes=(3, 0), asks_for_room=False))


def test_the_place_of_a_record_must_be_read_under_the_lock() -> None:
    with pytest.raises(Violation, match=BROKEN):
        explore(lambda: Ring(pushes=(1, 1), head_under_lock=False))
