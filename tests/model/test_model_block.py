"""A block on its way (core/block.md): it is the receiver's once, or freed once, whoever dies.

A worker sends a block with a record that names it. Two threads of its parent collect; when the
worker has died, its parent collects what is left, reclaims what is still signed by it, and then
sweeps what it owned. Whoever frees has the heap's lock, so that is one step.
"""

from __future__ import annotations

import pytest

from tests.model.explore import STEP, Steps, Violation, World, explore


class Parcel(World):
    """A worker, its parent's collector and its parent's supervisor; one block.

    Args:
        adopts_first: a block is adopted before its record is retired.
        collects_first: the parent collects before it reclaims.
        reclaims_addressed: a block that is the parent's already, but signed, counts too.
    """

    def __init__(
        self,
        *,
        adopts_first: bool = True,
        collects_first: bool = True,
        reclaims_addressed: bool = True,
    ) -> None:
        super().__init__(
            owner="worker",
            sender="",
            state="OWNED",
            record=0,
            ring="",
            received=0,
            frees=0,
            supervised=0,
        )
        self.adopts_first = adopts_first
        self.collects_first = collects_first
        self.reclaims_addressed = reclaims_addressed
        self.add("worker", self.send("worker"), mortal=True)
        self.add("collector", self.wait_and_collect("collector"))
        self.add("supervisor", self.settle("supervisor"))

    def send(self, me: str) -> Steps:
        """pcn_block_send(), and the push of its record."""
        yield STEP
        self.store(me, "sender", me)
        yield STEP
        self.store(me, "owner", "parent")
        yield STEP
        self.store(me, "state", "TRANSIT", release=True)
        yield STEP
        self.store(me, "record", 1, release=True)
        yield lambda: False  # lives on, or dies later

    def wait_and_collect(self, me: str) -> Steps:
        """A thread of the parent that waits for news."""
        yield lambda: self.words["record"] == 1
        yield from self.collect(me)

    def collect(self, me: str) -> Steps:
        """pcn_channel_collect() of one record, if it is there; under the consumers' lock."""
        yield STEP
        if self.load(me, "record") == 0:
            return
        yield lambda: self.words["ring"] == ""
        self.exchange(me, "ring", "", me)
        yield STEP
        if self.load(me, "record") == 1:
            for adopt in (self.adopts_first, not self.adopts_first):
                yield STEP
                if adopt:
                    assert self.load(me, "state") == "TRANSIT", "a record of a block not sent"
                    self.store(me, "sender", "")
                    yield STEP
                    self.store(me, "state", "OWNED")
                    self.note("received", 1)
                else:
                    self.store(me, "record", 0, release=True)
        yield STEP
        self.exchange(me, "ring", me, "")

    def settle(self, me: str) -> Steps:
        """After the death: collect, reclaim, sweep."""
        yield lambda: "worker" in self.dead
        if self.collects_first:
            yield from self.collect(me)
        yield STEP
        signed = self.load(me, "sender") == "worker" and self.load(me, "owner") == "parent"
        if signed and (self.reclaims_addressed or self.load(me, "state") == "TRANSIT"):
            self.free(me)
        yield STEP
        if self.load(me, "owner") == "worker":
            self.free(me)
        self.note("supervised", 1)

    def free(self, me: str) -> None:
        """pcn_block_free(): under the heap's lock, so all at once."""
        assert self.words["received"] == 0, "a received block is freed"
        self.store(me, "state", "FREE")
        self.store(me, "owner", "")
        self.fence(me)
        self.note("frees", self.number(me, "frees") + 1)

    def finish(self) -> None:
        if "worker" in self.dead:
            assert self.words["supervised"], "the supervisor waits for ever"
            ends = self.number("supervisor", "frees") + self.number("supervisor", "received")
            assert ends == 1, "the block is lost" if not ends else "the block is freed twice"


def test_a_block_is_received_or_freed_once() -> None:
    assert explore(Parcel, deaths=1) > 100


def test_a_block_must_be_adopted_before_its_record_is_retired() -> None:
    with pytest.raises(Violation, match="freed|not sent"):
        explore(lambda: Parcel(adopts_first=False), deaths=1)


def test_the_parent_must_collect_before_it_reclaims() -> None:
    with pytest.raises(Violation, match="freed|not sent"):
        explore(lambda: Parcel(collects_first=False), deaths=1)


def test_a_block_that_is_only_addressed_must_be_reclaimed() -> None:
    with pytest.raises(Violation, match="the block is lost"):
        explore(lambda: Parcel(reclaims_addressed=False), deaths=1)
