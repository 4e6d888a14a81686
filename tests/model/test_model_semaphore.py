"""The permits (core/semaphore.md): a dead one's are given back, once, and no others.

A and B take a permit and give it back; R and Q each look for what is missing and give it back; T
would tell of a death if something is missing. Who truly has what is known by notes, written in the
step that commits it: all permits are in the word, with the living, or lost with the dead.
"""

from __future__ import annotations

import pytest

from tests.model.explore import STEP, Steps, Violation, World, explore

PERMITS = 2
VERSION = 10
"""The word is version * 10 + permits."""


class Semaphore(World):
    """Two that use it, two that recover it, one that is told.

    Args:
        counts_first: a permit is in the hold before it is taken from the word.
        counts_last: and until it is in the word again.
        released: the hold is seen before the word.
        versions: each change of the word has a new version.
        exact: permits are given back into the very word that they were counted at.
        stands_still: who tells of a death looks whether the word stood still meanwhile.
        times: how often B takes a permit.
        others: who recovers (R and Q) or tells (T).
    """

    def __init__(
        self,
        *,
        counts_first: bool = True,
        counts_last: bool = True,
        released: bool = True,
        versions: bool = True,
        exact: bool = True,
        stands_still: bool = True,
        times: int = 2,
        others: str = "R",
    ) -> None:
        super().__init__(word=PERMITS, held_A=0, held_B=0, has_A=0, has_B=0, given=0)
        self.counts_first = counts_first
        self.counts_last = counts_last
        self.released = released
        self.version = VERSION if versions else 0
        self.exact = exact
        self.stands_still = stands_still
        self.add("A", self.use("A"), mortal=True)
        self.add("B", self.use("B", times))
        for other in others:
            steps = self.tell(other) if other == "T" else self.recover(other)
            self.add(other, steps, mortal=other == "R")

    def has(self, who: str) -> int:
        """How many permits it truly has, or had when it died."""
        value = self.words[f"has_{who}"]
        assert isinstance(value, int)
        return value

    def lost(self) -> int:
        """How many permits the dead had that were not given back."""
        given = self.words["given"]
        assert isinstance(given, int)
        return sum(self.has(who) for who in ("A", "B") if who in self.dead) - given

    def check(self) -> None:
        assert self.lost() >= 0, "a permit was given back that nobody lost"
        inside = sum(self.has(who) for who in ("A", "B") if who not in self.dead)
        permits = self.number("check", "word") % VERSION
        assert permits + inside + self.lost() == PERMITS, "the permits do not add up"

    def load(self, who: str, word: str) -> object:  # type: ignore[override]
        return self.words[word] if who == "check" else super().load(who, word)

    def finish(self) -> None:
        if "A" in self.dead:
            super().finish()
        assert self.ended("B"), "B waits for ever"
        missing, _ = self.equation(self.number("check", "word"))
        assert missing == self.lost(), "what is missing is not what was lost"

    def change_hold(self, me: str, by: int) -> None:
        """A plain store by its owner."""
        self.store(me, f"held_{me}", self.number(me, f"held_{me}") + by, release=by < 0)

    def use(self, me: str, times: int = 1) -> Steps:
        """Take a permit, give it back."""
        for _ in range(times):
            yield from self.take(me)
            yield from self.give(me)

    def take(self, me: str) -> Steps:
        """pcn_semaphore_take()."""
        while True:
            yield lambda: self.number("check", "word") % VERSION > 0
            seen = self.number(me, "word")
            if seen % VERSION == 0:
                continue
            if self.counts_first:
                yield STEP
                self.change_hold(me, 1)
            yield STEP
            if self.exchange(me, "word", seen, seen - 1 + self.version, release=self.released):
                self.note(f"has_{me}", 1)
                break
            if self.counts_first:
                yield STEP
                self.change_hold(me, -1)
        if not self.counts_first:
            yield STEP
            self.change_hold(me, 1)

    def give(self, me: str) -> Steps:
        """pcn_semaphore_release()."""
        if not self.counts_last:
            yield STEP
            self.change_hold(me, -1)
        while True:
            yield STEP
            seen = self.number(me, "word")
            yield STEP
            if self.exchange(me, "word", seen, seen + 1 + self.version):
                self.note(f"has_{me}", 0)
                break
        if self.counts_last:
            yield STEP
            self.change_hold(me, -1)

    def equation(self, word: int) -> tuple[int, int]:
        """What is missing by the visible words, and what the dead may have had."""
        held = {who: self.number("check", f"held_{who}") for who in ("A", "B")}
        dead = sum(has for who, has in held.items() if who in self.dead)
        living = sum(has for who, has in held.items() if who not in self.dead)
        return min(max(PERMITS - word % VERSION - living, 0), dead), dead

    def recover(self, me: str) -> Steps:
        """pcn_semaphore_recover(): once there was a death, until nothing is missing."""
        yield lambda: "A" in self.dead
        while True:
            yield STEP
            word = self.number(me, "word")
            accounted, dead = word % VERSION, 0
            for who in ("A", "B"):
                yield STEP
                held = self.number(me, f"held_{who}")
                dead += held if who in self.dead else 0
                accounted += 0 if who in self.dead else held
            missing = min(max(PERMITS - accounted, 0), dead)
            if missing == 0:
                return
            yield STEP
            expected = word if self.exact else self.number(me, "word")
            if self.exchange(me, "word", expected, expected + missing + self.version):
                given = self.words["given"]
                assert isinstance(given, int)
                self.note("given", given + missing)

    def tell(self, me: str) -> Steps:
        """pcn_semaphore_wait(): whether a death is to be told."""
        yield lambda: "A" in self.dead
        yield STEP
        word = self.number(me, "word")
        accounted, dead = word % VERSION, 0
        for who in ("A", "B"):
            yield STEP
            held = self.number(me, f"held_{who}")
            dead += held if who in self.dead else 0
            accounted += 0 if who in self.dead else held
        yield STEP
        if self.stands_still and self.number(me, "word") != word:
            return
        if min(PERMITS - accounted, dead) > 0:
            assert self.lost() > 0, "told of a death that cost nothing"


def test_what_the_dead_had_is_given_back() -> None:
    assert explore(Semaphore, deaths=2) > 1000


def test_it_is_given_back_once() -> None:
    assert explore(lambda: Semaphore(times=1, others="RQ"), deaths=2) > 1000


def test_only_a_loss_is_told() -> None:
    assert explore(lambda: Semaphore(others="T"), deaths=1) > 1000


TOO_MANY = "nobody lost"


def test_a_permit_must_be_in_the_hold_before_it_is_taken() -> None:
    with pytest.raises(Violation, match=TOO_MANY):
        explore(lambda: Semaphore(counts_first=False), deaths=1)


def test_and_until_it_is_given() -> None:
    with pytest.raises(Violation, match=TOO_MANY):
        explore(lambda: Semaphore(counts_last=False), deaths=1)


def test_and_be_seen_there() -> None:
    with pytest.raises(Violation, match=TOO_MANY):
        explore(lambda: Semaphore(released=False), deaths=1)


def test_a_word_that_came_back_must_not_look_the_same() -> None:
    with pytest.raises(Violation, match=TOO_MANY):
        explore(lambda: Semaphore(versions=False), deaths=1)


def test_permits_must_be_given_into_the_word_they_were_counted_at() -> None:
    with pytest.raises(Violation, match=TOO_MANY):
        explore(lambda: Semaphore(exact=False), deaths=1)


def test_who_tells_must_see_the_word_stand_still() -> None:
    with pytest.raises(Violation, match="cost nothing"):
        explore(lambda: Semaphore(stands_still=False, others="T"), deaths=1)
