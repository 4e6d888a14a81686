"""What a death leaves of a queue's blocks (core/queue.md): whoever inherits a lock frees what the
dead one had in hand, and nothing that the living have.

Each producer has one payload in a block. It gives it to the queue with a mark, the position of its
record, under the producers' lock; who takes it takes it over under the consumers'.
"""

from __future__ import annotations

import pytest

from tests.model.explore import STEP, Steps, Violation, explore
from tests.model.test_model_queue import Locked

EARLIER = -1
"""A mark that a block has from an earlier life in the queue."""


class Marks(Locked):
    """Producers P and Q, consumers C, D and E, and S, who comes last and counts.

    Args:
        producers: those that there are.
        consumers: the same.
        mends: who inherits a lock frees what is left.
        gives_locked: a block is given under the lock, not before.
        takes_locked: it is taken over under the lock, not behind it.
        releases: the mark is visible before the block is the queue's.
    """

    def __init__(
        self,
        *,
        producers: str = "PQ",
        consumers: str = "CD",
        mends: bool = True,
        gives_locked: bool = True,
        takes_locked: bool = True,
        releases: bool = True,
    ) -> None:
        self.blocks = range(1, len(producers) + 1)
        words: dict[str, int | str] = {"head": 0, "tail": 0, "produce": "", "consume": ""}
        words |= {"produce_inherited": 0, "consume_inherited": 0}
        for block, producer in zip(self.blocks, producers, strict=True):
            words |= {f"record{block - 1}": 0, f"owner{block}": producer}
            words |= {f"mark{block}": EARLIER, f"frees{block}": 0}
        super().__init__(**words)
        self.mends = mends
        self.gives_locked = gives_locked
        self.takes_locked = takes_locked
        self.releases = releases
        self.traffic = producers + consumers
        for block, name in zip(self.blocks, producers, strict=True):
            self.add(name, self.put(name, block), mortal=True)
        for name in consumers:
            self.add(name, self.get(name), mortal=True)
        self.add("S", self.count("S"))

    def free(self, me: str, block: int) -> None:
        """Under the heap's lock: at once, and visible."""
        assert not self.words[f"frees{block}"], f"{me} frees a block that is free"
        self.fence(me)
        self.note(f"frees{block}", 1)
        self.note(f"owner{block}", "")

    def mend(self, me: str, end: str) -> Steps:
        """See pcn_queue_mend_puts() and pcn_queue_mend_takings()."""
        if (
            not self.mends
            or not self.words[f"{'produce' if end == 'head' else 'consume'}_inherited"]
        ):
            return
        for block in self.blocks:
            yield STEP
            if self.load(me, f"owner{block}") != "queue":
                continue
            yield STEP
            mark = self.number(me, f"mark{block}")
            yield STEP
            still = self.load(me, f"owner{block}") == "queue"
            if still and (mark >= self.number(me, end)) == (end == "head"):
                yield STEP
                self.free(me, block)

    def give(self, me: str, block: int) -> Steps:
        """See pcn_block_give_marked()."""
        yield STEP
        self.store(me, f"mark{block}", self.number(me, "head"))
        yield STEP
        self.store(me, f"owner{block}", "queue", release=self.releases)

    def put(self, me: str, block: int) -> Steps:
        """See put_locked()."""
        if not self.gives_locked:
            yield from self.give(me, block)
        yield from self.lock(me, "produce")
        yield from self.mend(me, "head")
        head = self.number(me, "head")
        yield STEP
        self.store(me, f"record{head}", block)
        if self.gives_locked:
            yield from self.give(me, block)
        yield STEP
        self.store(me, "head", head + 1, release=True)
        yield from self.unlock(me, "produce")

    def get(self, me: str) -> Steps:
        """See pcn_queue_get(); until nothing is there and nobody is left to put."""
        while True:
            yield from self.lock(me, "consume")
            yield from self.mend(me, "tail")
            tail = self.number(me, "tail")
            if self.number(me, "head") == tail:
                yield from self.unlock(me, "consume")
                yield lambda: self.words["head"] != self.words["tail"] or self.is_over("PQ")
                if self.words["head"] == self.words["tail"]:
                    return
                continue
            block = self.number(me, f"record{tail}")
            assert self.load(me, f"owner{block}") == "queue", f"{me} takes what is nobody's"
            yield STEP
            self.store(me, "tail", tail + 1, release=True)
            for locked in (True, False):
                if locked == self.takes_locked:
                    yield STEP
                    self.store(me, f"owner{block}", me)
                if locked:
                    yield from self.unlock(me, "consume")
            yield STEP
            self.free(me, block)

    def is_over(self, names: str) -> bool:
        """None of them is left."""
        return all(self.ended(name) or name in self.dead for name in names if name in self.traffic)

    def count(self, me: str) -> Steps:
        """Come to both sides, take what is there, sweep; nothing may be left then."""
        yield lambda: self.is_over(self.traffic)
        for lock, end in (("produce", "head"), ("consume", "tail")):
            yield from self.lock(me, lock)
            yield from self.mend(me, end)
            yield from self.unlock(me, lock)
        for position in range(self.number(me, "tail"), self.number(me, "head")):
            self.free(me, self.number(me, f"record{position}"))
        for block in self.blocks:
            if self.words[f"owner{block}"] in self.dead:
                self.free(me, block)
            assert self.words[f"frees{block}"], f"block {block} is left"


WRONG = "that is free|nobody's|is left"


def test_what_the_dead_had_in_hand_is_freed() -> None:
    assert explore(lambda: Marks(producers="PQ", consumers="C"), deaths=2) > 1000


def test_so_it_is_by_another_consumer() -> None:
    assert explore(lambda: Marks(producers="P", consumers="CD"), deaths=2) > 1000


def test_who_inherits_must_free_it() -> None:
    with pytest.raises(Violation, match="is left"):
        explore(lambda: Marks(mends=False, consumers="C"), deaths=1)


def test_a_block_must_not_be_given_before_the_lock_is_taken() -> None:
    with pytest.raises(Violation, match=WRONG):
        explore(lambda: Marks(gives_locked=False, consumers="C"), deaths=1)


def test_a_block_must_be_taken_over_before_the_lock_is_let_go() -> None:
    with pytest.raises(Violation, match=WRONG):
        explore(lambda: Marks(takes_locked=False, producers="P", consumers="CDE"), deaths=1)


def test_its_mark_must_be_visible_before_it_is_the_queues() -> None:
    with pytest.raises(Violation, match=WRONG):
        explore(lambda: Marks(releases=False, producers="P", consumers="CD"), deaths=1)
