"""The queue (core/queue.md): a chain of segments, and what a dead consumer is known to have taken.

Two models. In the first, each segment holds one record, so that every put needs another one: its
links, its ends and who frees it are what is walked. In the second, consumers take from a queue that
is full, and whoever inherits their lock decides what they took. The locks are taken for granted
here: free, or a dead owner's to be inherited (test_model_lock.py).
"""

from __future__ import annotations

import pytest

from tests.model.explore import STEP, Steps, Value, Violation, World, explore


class Locked(World):
    """A world with locks."""

    def lock(self, me: str, word: str) -> Steps:
        """Take a lock that is free or a dead one's; `inherited_...` says which it was."""
        yield lambda: self.words[word] == "" or self.words[word] in self.dead
        self.note(f"{word}_inherited", int(self.words[word] != ""))
        self.exchange(me, word, self.words[word], me)

    def unlock(self, me: str, word: str) -> Steps:
        """Leave it."""
        yield STEP
        assert self.exchange(me, word, me, ""), "the lock is another one's"

    def listed(self, word: str) -> tuple[str, ...]:
        """A word that holds a list."""
        value = self.words[word]
        assert isinstance(value, tuple)
        return tuple(str(one) for one in value)


# ---- the chain ----

SEGMENTS = 5


class Chain(Locked):
    """Producers P and Q, consumers C and D, segments of one record each.

    What only holders of one lock read is visible at once: they see all that the last one wrote.

    Args:
        pushes: how many records each producer makes.
        mends: the next producer sets the end that a dead one left out.
        links_first: a segment is linked before the producer says that it writes there.
        frees_late: a segment is freed once a record stands in the next one, not when it is read.
        releases: a record and its segment are visible before they are published.
    """

    def __init__(
        self,
        *,
        pushes: tuple[int, int] = (2, 1),
        consumers: str = "C",
        mends: bool = True,
        links_first: bool = True,
        frees_late: bool = True,
        releases: bool = True,
    ) -> None:
        words: dict[str, Value] = {
            **dict.fromkeys(("head", "tail", "writing", "reading", "first", "used"), 0),
            **dict.fromkeys(("produce", "consume"), ""),
            **dict.fromkeys(("produce_inherited", "consume_inherited"), 0),
            **dict.fromkeys(("pushed", "popped"), ()),
        }
        for number in range(1, SEGMENTS + 1):
            words |= {f"start{number}": -1, f"end{number}": -1}
            words |= dict.fromkeys((f"{part}{number}" for part in ("next", "record", "freed")), 0)
        super().__init__(**words)
        self.mends = mends
        self.links_first = links_first
        self.frees_late = frees_late
        self.releases = releases
        for name, count in zip("PQ", pushes, strict=True):
            if count:
                self.add(name, self.push_all(name, count), mortal=True)
        for name in consumers:
            self.add(name, self.pop_all(name), mortal=True)

    def part(self, me: str, part: str, segment: int) -> int:
        """Read a word of a segment, which must not be freed."""
        assert segment, f"{me} finds no segment"
        assert not self.words[f"freed{segment}"], f"{me} reads a freed segment"
        return self.number(me, f"{part}{segment}")

    def put_part(self, me: str, part: str, segment: int, value: int) -> None:
        """Write one."""
        assert not self.words[f"freed{segment}"], f"{me} writes a freed segment"
        self.store(me, f"{part}{segment}", value)

    def last_segment(self, me: str, head: int) -> Steps:
        """See last_segment() in queue.c; leaves its number in `writing`."""
        writing = self.number(me, "writing") or self.number(me, "first")
        self.note("writing", writing)
        if writing and (following := self.part(me, "next", writing)):
            if self.mends:
                yield STEP
                self.put_part(me, "end", writing, head)
            yield STEP
            self.note("writing", following)

    def extend(self, me: str, last: int, head: int) -> Steps:
        """See extend()."""
        yield STEP
        used = self.words["used"]
        assert isinstance(used, int)
        segment = used + 1
        assert segment <= SEGMENTS, "the model needs more segments"
        self.note("used", segment)
        self.note(f"start{segment}", head)
        for links in (self.links_first, not self.links_first):
            yield STEP
            if not links:
                self.note("writing", segment)
            elif last:
                self.put_part(me, "next", last, segment)
                yield STEP
                self.put_part(me, "end", last, head)
            else:
                self.store(me, "first", segment)

    def push_all(self, me: str, count: int) -> Steps:
        """A producer: see put_locked()."""
        for number in range(1, count + 1):
            record = 10 * ("PQ".index(me) + 1) + number
            yield from self.lock(me, "produce")
            head = self.number(me, "head")
            yield from self.last_segment(me, head)
            last = self.number(me, "writing")
            if not last or self.part(me, "start", last) != head:
                yield from self.extend(me, last, head)
            yield STEP
            self.put_part(me, "record", self.number(me, "writing"), record)
            self.store(me, "head", head + 1, release=self.releases)
            self.note("pushed", (*self.listed("pushed"), str(record)))
            yield from self.unlock(me, "produce")

    def pop_all(self, me: str) -> Steps:
        """A consumer: see copy_out(); until nothing is there and nobody is left to push."""
        while True:
            yield from self.lock(me, "consume")
            tail = self.number(me, "tail")
            if self.number(me, "head") == tail:
                yield from self.unlock(me, "consume")
                yield lambda: self.words["head"] != self.words["tail"] or self.is_over()
                if self.words["head"] == self.words["tail"]:
                    return
                continue
            reading = self.number(me, "reading") or self.number(me, "first")
            if tail == self.part(me, "end", reading):
                before, reading = reading, self.part(me, "next", reading)
                yield STEP
                self.note("reading", reading)
                yield STEP
                self.note(f"freed{before}", 1)
            record = str(self.part(me, "record", reading))
            expected = self.listed("pushed")[tail]
            assert record == expected, f"{expected} is read as {record}"
            yield STEP
            self.note("tail", tail + 1)
            self.note("popped", (*self.listed("popped"), record))
            if not self.frees_late:
                yield STEP
                self.note(f"freed{reading}", 1)
            yield from self.unlock(me, "consume")

    def is_over(self) -> bool:
        """No producer is left."""
        return all(self.ended(name) or name in self.dead for name in "PQ" if name in self.processes)

    def finish(self) -> None:
        super().finish()
        pushed, popped = self.listed("pushed"), self.listed("popped")
        if any(self.ended(name) for name in "CD" if name in self.processes):
            assert popped == pushed, f"pushed {pushed}, popped {popped}"
        for place, name in enumerate("PQ", 1):
            if name in self.processes and self.ended(name):
                mine = [record for record in pushed if record.startswith(str(place))]
                assert mine == sorted(set(mine)), "a record is lost, doubled or overtaken"


WRONG = "is read as|no segment|freed segment|pushed|waits for ever"


def test_records_go_from_segment_to_segment() -> None:
    assert explore(lambda: Chain(pushes=(2, 1))) > 300


def test_a_death_breaks_no_chain() -> None:
    assert explore(lambda: Chain(pushes=(1, 2)), deaths=1) > 1000


def test_nor_where_another_consumer_goes_on() -> None:
    assert explore(lambda: Chain(pushes=(2, 0), consumers="CD"), deaths=1) > 1000


def test_two_deaths_break_no_chain() -> None:
    assert explore(lambda: Chain(pushes=(1, 1)), deaths=2) > 1000


def test_the_end_that_a_dead_one_left_out_must_be_set() -> None:
    with pytest.raises(Violation, match=WRONG):
        explore(lambda: Chain(pushes=(1, 2), mends=False), deaths=1)


def test_a_segment_must_be_linked_before_it_is_written_to() -> None:
    with pytest.raises(Violation, match=WRONG):
        explore(lambda: Chain(pushes=(1, 2), links_first=False), deaths=1)


def test_a_segment_must_not_be_freed_while_its_producer_stands_in_it() -> None:
    with pytest.raises(Violation, match=WRONG):
        explore(lambda: Chain(frees_late=False))


def test_a_segment_must_be_visible_before_its_record_is_published() -> None:
    with pytest.raises(Violation, match=WRONG):
        explore(lambda: Chain(releases=False))


# ---- what was taken ----

ITEMS = 3


class Taking(Locked):
    """Consumers C and D take, whoever inherits settles; S comes last and looks.

    Args:
        signs: the consumer writes down what it is about to take, before it takes it.
        compares: who settles looks whether the count was made already.
        counts_last: the count is made behind the taking, not before it.
        unsigns_last: the signature is taken away behind the count.
    """

    def __init__(
        self,
        *,
        signs: bool = True,
        compares: bool = True,
        counts_last: bool = True,
        unsigns_last: bool = True,
    ) -> None:
        super().__init__(
            tail=0,
            consume="",
            consume_inherited=0,
            takers=(),
            **{f"{part}{name}": 0 for name in "CDS" for part in ("until", "target", "taken")},
        )
        self.signs = signs
        self.compares = compares
        self.counts_last = counts_last
        self.unsigns_last = unsigns_last
        self.add("C", self.take_all("C"), mortal=True)
        self.add("D", self.take_all("D"), mortal=True)
        self.add("S", self.look("S"))

    def lock_and_settle(self, me: str) -> Steps:
        """See pcn_queue_settle_takings()."""
        yield from self.lock(me, "consume")
        if not self.words["consume_inherited"]:
            return
        yield STEP
        tail = self.number(me, "tail")
        for name in "CD":
            yield STEP
            target = self.number(me, f"target{name}")
            if not target:
                continue
            taken = self.number(me, f"taken{name}")
            if self.number(me, f"until{name}") == tail and not (self.compares and taken == target):
                self.store(me, f"taken{name}", taken + 1)
            yield STEP
            self.store(me, f"target{name}", 0)

    def take_all(self, me: str) -> Steps:
        """See retire()."""
        while True:
            yield from self.lock_and_settle(me)
            yield STEP
            tail = self.number(me, "tail")
            if tail == ITEMS:
                yield from self.unlock(me, "consume")
                return
            taken = self.number(me, f"taken{me}")
            if self.signs:
                self.store(me, f"until{me}", tail + 1)
                self.store(me, f"target{me}", taken + 1)
            for retires in (self.counts_last, not self.counts_last):
                yield STEP
                if retires:
                    self.store(me, "tail", tail + 1, release=True)
                    self.note("takers", (*self.listed("takers"), me))
                elif self.unsigns_last:
                    self.store(me, f"taken{me}", taken + 1)
                    yield STEP
                    self.store(me, f"target{me}", 0)
                else:
                    self.store(me, f"target{me}", 0)
                    yield STEP
                    self.store(me, f"taken{me}", taken + 1)
            yield from self.unlock(me, "consume")

    def look(self, me: str) -> Steps:
        """Whoever wants to know: takes the lock, and so has it settled."""
        yield lambda: all(self.ended(name) or name in self.dead for name in "CD")
        yield from self.lock_and_settle(me)
        yield STEP
        for name in "CD":
            taken = self.listed("takers").count(name)
            said = self.number(me, f"taken{name}")
            assert said == taken, f"{name} took {taken}, and {said} are known"
        yield from self.unlock(me, "consume")


UNKNOWN = "are known"


def test_what_was_taken_is_known() -> None:
    assert explore(Taking) > 100


def test_what_the_dead_took_is_known() -> None:
    assert explore(Taking, deaths=2) > 1000


def test_a_taking_must_be_signed_for() -> None:
    with pytest.raises(Violation, match=UNKNOWN):
        explore(lambda: Taking(signs=False), deaths=1)


def test_who_settles_may_die_and_must_not_count_twice() -> None:
    with pytest.raises(Violation, match=UNKNOWN):
        explore(lambda: Taking(compares=False), deaths=2)


def test_a_taking_must_not_be_counted_before_it_is_made() -> None:
    with pytest.raises(Violation, match=UNKNOWN):
        explore(lambda: Taking(counts_last=False), deaths=1)


def test_the_signature_must_outlive_the_count() -> None:
    with pytest.raises(Violation, match=UNKNOWN):
        explore(lambda: Taking(unsigns_last=False), deaths=1)
