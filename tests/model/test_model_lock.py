"""The lock (core/lock.md) beside the sweep (core/recover.md): one inside, each death told, no hang.

H and W want the lock. H may die; then S joins in its slot: it sweeps, under the lock, and is a
member that wants the lock itself afterwards. Whatever is asked is asked as the core does: the
generation first, then a try at the life lock, which is held for a moment.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeAlias

import pytest

from tests.model.explore import STEP, Condition, Steps, Violation, World, explore

OTHER = 100
"""The token of W, which has a slot of its own; those of the slot of H and S count from 1."""

Asking: TypeAlias = Generator[Condition | None, None, bool]


class Lock(World):
    """Three processes, one lock.

    Args:
        new_life: the sweeper begins a new life of the slot, and locks under its name.
        inherits_unasked: it takes the lock under the dead one's name because it knows of the
            death (so did an earlier protocol).
        exact: who inherits exchanges exactly the word it has asked about.
        release_on_entry: the name is not seen before the generation it belongs to.
        release_on_exit: what was written inside is seen by the next one.
    """

    def __init__(
        self,
        *,
        new_life: bool = True,
        inherits_unasked: bool = False,
        exact: bool = True,
        release_on_entry: bool = True,
        release_on_exit: bool = True,
    ) -> None:
        super().__init__(lock=0, life="H", generation=1, data=0, written=0, inside="")
        self.new_life = new_life
        self.inherits_unasked = inherits_unasked
        self.exact = exact
        self.release_on_entry = release_on_entry
        self.release_on_exit = release_on_exit
        self.add("H", self.use("H", 1), mortal=True)
        self.add("W", self.use("W", OTHER), mortal=True)
        self.add("S", self.join("S"), mortal=True)

    def died(self, name: str) -> None:
        if self.words["life"] == name:
            self.words["life"] = ""  # marked by the kernel: free to be taken

    def is_alive(self, me: str, token: int) -> Asking:
        """pcn_owner_alive()."""
        yield STEP
        if token == OTHER:
            return "W" not in self.dead  # nobody sweeps that slot
        if self.load(me, "generation") != token:
            return False
        yield STEP
        if not self.exchange(me, "life", "", me):
            return True
        yield STEP
        self.exchange(me, "life", me, "")
        return False

    def news_of(self, seen: int) -> Condition:
        """Whether a waiter that looks again, as each does within 2 ms, is told something new."""

        def is_news() -> bool:
            if self.words["lock"] != seen:
                return True
            if seen == OTHER:
                return "W" in self.dead
            return self.words["generation"] != seen or self.words["life"] == ""

        return is_news

    def acquire(self, me: str, token: int) -> Asking:
        """pcn_lock_acquire(): whether the last owner died inside."""
        while True:
            yield STEP
            if self.exchange(me, "lock", 0, token, release=self.release_on_entry):
                return False
            yield STEP
            seen = self.number(me, "lock")
            if seen == 0:
                continue
            if not (yield from self.is_alive(me, seen)):
                yield STEP
                expected = seen if self.exact else self.words["lock"]
                if self.exchange(me, "lock", expected, token, release=self.release_on_entry):
                    return True
                continue
            yield self.news_of(seen)

    def work(self, me: str, told: bool) -> Steps:
        """What the lock guards: a plain addition in two steps."""
        yield STEP
        left = str(self.words["inside"])
        assert left == "" or left in self.dead, f"{left} and {me} are inside"
        assert left == "" or told, f"{me} is not told of a death"
        self.note("inside", me)
        seen = self.number(me, "data")
        assert seen == self.words["written"], f"{me} does not see what was written"
        yield STEP
        self.store(me, "data", seen + 1)
        self.note("written", seen + 1)
        yield STEP
        assert self.words["inside"] == me, f"{me} is not alone"
        self.note("inside", "")

    def release(self, me: str, token: int) -> Steps:
        """pcn_lock_release()."""
        yield STEP
        assert self.exchange(me, "lock", token, 0, release=self.release_on_exit), "not ours"

    def use(self, me: str, token: int) -> Steps:
        """Take the lock once."""
        told = yield from self.acquire(me, token)
        yield from self.work(me, told)
        yield from self.release(me, token)

    def join(self, me: str) -> Steps:
        """pcn_owner_join() over a dead occupant."""
        yield lambda: "H" in self.dead and self.words["life"] == ""
        self.exchange(me, "life", "", me)
        token = self.number(me, "generation")
        if self.new_life:
            yield STEP
            token += 1
            self.store(me, "generation", token, release=True)
        yield STEP
        if self.inherits_unasked and self.exchange(me, "lock", token, token):
            told = True
        else:
            told = yield from self.acquire(me, token)
        yield from self.work(me, told)
        yield from self.release(me, token)
        yield STEP
        token += 1
        self.store(me, "generation", token, release=True)
        yield from self.use(me, token)

    def finish(self) -> None:
        if "H" in self.dead:
            super().finish()
        else:
            assert self.ended("H"), "H waits for ever"
            assert self.ended("W") or "W" in self.dead, "W waits for ever"


TWO = "are inside|is not alone|not ours"


def test_one_is_inside_and_each_death_is_told() -> None:
    assert explore(Lock, deaths=2) > 1000


def test_a_sweeper_under_the_dead_ones_name_is_robbed() -> None:
    with pytest.raises(Violation, match=TWO):
        explore(lambda: Lock(new_life=False, inherits_unasked=True), deaths=1)


def test_a_sweeper_that_asks_about_a_life_it_holds_itself_waits_for_ever() -> None:
    with pytest.raises(Violation, match=r"waits for ever: .*S"):
        explore(lambda: Lock(new_life=False), deaths=1)


def test_who_inherits_must_exchange_the_very_word() -> None:
    with pytest.raises(Violation, match=TWO):
        explore(lambda: Lock(exact=False), deaths=1)


def test_a_name_must_not_be_seen_before_its_generation() -> None:
    with pytest.raises(Violation, match=TWO):
        explore(lambda: Lock(release_on_entry=False), deaths=1)


def test_what_was_written_inside_must_be_released() -> None:
    with pytest.raises(Violation, match="does not see"):
        explore(lambda: Lock(release_on_exit=False))
