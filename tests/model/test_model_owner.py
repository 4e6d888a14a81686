"""Join beside sweep (core/owner.md, core/recover.md): what a child counts on stays.

The parent is dead. Its child joins and uses the parent's block; two sweepers try to return what
the parent owned, and one of them may die at it; a newcomer joins in the parent's slot.
"""

from __future__ import annotations

import pytest

from tests.model.explore import STEP, Steps, Violation, World, explore


class Family(World):
    """A child, two sweepers, a newcomer; the slot of the dead parent and that of the child.

    Args:
        sweeper_fences: the sweeper has a fence between marking the slot and looking for children.
        child_fences: the child has one between taking its slot and looking at its parent.
        looks: the child looks at its parent's slot at all,
        by_generation: and compares the generation,
        state_first: after it has looked at the state: a newcomer's is stored after its generation.
    """

    def __init__(
        self,
        *,
        sweeper_fences: bool = True,
        child_fences: bool = True,
        looks: bool = True,
        by_generation: bool = True,
        state_first: bool = True,
    ) -> None:
        super().__init__(
            life="", generation=1, state="TAKEN", child="FREE", block="parent", freed=0, seated=0
        )
        self.sweeper_fences = sweeper_fences
        self.child_fences = child_fences
        self.looks = looks
        self.by_generation = by_generation
        self.state_first = state_first
        self.add("child", self.join_as_child("child"))
        self.add("S", self.sweep("S"), mortal=True)
        self.add("T", self.sweep("T"))
        self.add("newcomer", self.join_over("newcomer"))

    def died(self, name: str) -> None:
        if self.words["life"] == name:
            self.words["life"] = ""

    def join_as_child(self, me: str) -> Steps:
        """pcn_owner_join() with a parent."""
        yield STEP
        self.store(me, "child", "TAKEN")
        yield STEP
        if self.child_fences:
            self.fence(me)
        there = True
        for state in (self.state_first, not self.state_first):
            if state:
                there &= self.load(me, "state") == "TAKEN"
            elif self.by_generation:
                there &= self.load(me, "generation") == 1
            yield STEP
        if self.looks and not there:
            self.store(me, "child", "FREE")
            return
        self.note("seated", 1)
        yield STEP
        assert self.words["block"] == "parent", "the parent's block is gone"
        self.note("seated", 0)
        self.store(me, "child", "FREE")  # its end, and its own sweep

    def recover(self, me: str) -> Steps:
        """pcn_recover_slot(), with the slot's life in hand."""
        yield STEP
        self.store(me, "state", "SWEEPING")
        yield STEP
        if self.sweeper_fences:
            self.fence(me)
        if self.load(me, "child") != "FREE":
            self.store(me, "state", "TAKEN", release=True)
            return
        yield STEP
        self.store(me, "generation", self.number(me, "generation") + 1, release=True)
        yield STEP
        if self.words["block"] == "parent":
            self.note("block", "")
            self.note("freed", self.number(me, "freed") + 1)
        yield STEP
        self.store(me, "state", "FREE")

    def sweep(self, me: str) -> Steps:
        """pcn_recover_all(): one try."""
        yield STEP
        if not self.exchange(me, "life", "", me):
            return
        yield STEP
        if self.load(me, "state") != "FREE":
            yield from self.recover(me)
        yield STEP
        self.exchange(me, "life", me, "")

    def join_over(self, me: str) -> Steps:
        """pcn_owner_join() of one that has another parent; one try at this slot."""
        yield STEP
        if not self.exchange(me, "life", "", me):
            return
        yield STEP
        if self.load(me, "state") != "FREE":
            yield from self.recover(me)
            if self.load(me, "state") != "FREE":
                yield STEP
                self.exchange(me, "life", me, "")
                return
        yield STEP
        self.store(me, "generation", self.number(me, "generation") + 1, release=True)
        yield STEP
        self.store(me, "state", "TAKEN", release=True)

    def check(self) -> None:
        gone = self.words["block"] != "parent"
        assert not (gone and self.words["seated"]), "the parent's block is gone"
        assert self.number("T", "freed") <= 1, "swept twice"


def test_what_a_child_counts_on_stays() -> None:
    assert explore(Family, deaths=1) > 1000


def test_the_sweeper_needs_its_fence() -> None:
    with pytest.raises(Violation, match="block is gone"):
        explore(lambda: Family(sweeper_fences=False))


def test_the_child_needs_its_fence() -> None:
    with pytest.raises(Violation, match="block is gone"):
        explore(lambda: Family(child_fences=False))


def test_the_child_must_look_at_its_parent() -> None:
    with pytest.raises(Violation, match="block is gone"):
        explore(lambda: Family(looks=False))


def test_the_child_must_not_take_another_for_its_parent() -> None:
    with pytest.raises(Violation, match="block is gone"):
        explore(lambda: Family(by_generation=False))


def test_the_child_must_look_at_the_state_before_the_generation() -> None:
    with pytest.raises(Violation, match="block is gone"):
        explore(lambda: Family(state_first=False))
