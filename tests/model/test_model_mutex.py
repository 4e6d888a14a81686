"""The shared lock (core/mutex.md): one inside, a death is told until recovered, no hang.

In `Mutex` H and W want the lock and may die; S lives in the slot of H after its death. Whoever is
told of a death tries to recover the lock. In `Starving` O has it and wants it again at once, while
N waits, and L, which starves; time passes at any moment, or never.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeAlias

import pytest

from tests.model.explore import STEP, Condition, Steps, Violation, World, explore

OTHER = 100
"""The token of W, which has a slot of its own; those of the slot of H and S count from 1."""

RESERVED = 1
"""The bit beside the token in `Starving`; sleepers have none here, for all sleeps are bounded."""

Asking: TypeAlias = Generator[Condition | None, None, bool]


class Mutex(World):
    """Three processes, one lock, deaths.

    Args:
        takes_over: acquire() takes the lock of a dead owner, as the core's own lock does.
        asks: who recovers asks whether the owner is dead, after it was told so.
        exact: who recovers exchanges exactly the word it has asked about.
        release_on_entry: the name is not seen before the generation it belongs to.
        release_on_exit: what was written inside is seen by the next one.
    """

    def __init__(
        self,
        *,
        takes_over: bool = False,
        asks: bool = True,
        exact: bool = True,
        release_on_entry: bool = True,
        release_on_exit: bool = True,
    ) -> None:
        super().__init__(lock=0, life="H", generation=1, data=0, written=0, inside="", recovered="")
        self.takes_over = takes_over
        self.asks = asks
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
        """Whether a waiter that looks again, as each does within 10 ms, is told something new."""

        def is_news() -> bool:
            if self.words["lock"] != seen:
                return True
            if seen == OTHER:
                return "W" in self.dead
            return self.words["generation"] != seen or self.words["life"] == ""

        return is_news

    def enter(self, me: str, seen: int, token: int) -> bool:
        """Exchange what was seen for our name."""
        return self.exchange(me, "lock", seen, token, release=self.release_on_entry)

    def acquire(self, me: str, token: int) -> Asking:
        """pcn_mutex_acquire(): whether it was taken; else the owner died."""
        while True:
            yield STEP
            if self.enter(me, 0, token):
                return True
            yield STEP
            seen = self.number(me, "lock")
            if seen == 0:
                continue
            if not (yield from self.is_alive(me, seen)):
                if not self.takes_over:
                    return False
                yield STEP
                if self.enter(me, seen, token):
                    return True
                continue
            yield self.news_of(seen)

    def recover(self, me: str, token: int) -> Asking:
        """pcn_mutex_recover(): whether it was taken over."""
        while True:
            yield STEP
            seen = self.number(me, "lock")
            if seen == 0:
                return False
            if self.asks and (yield from self.is_alive(me, seen)):
                return False
            yield STEP
            expected = seen if self.exact else self.words["lock"]
            if self.enter(me, self._number(expected), token):
                self.note("recovered", me)
                return True

    @staticmethod
    def _number(word: object) -> int:
        assert isinstance(word, int)
        return word

    def work(self, me: str) -> Steps:
        """What the lock guards: a plain addition in two steps."""
        yield STEP
        left = str(self.words["inside"])
        assert left == "" or left in self.dead, f"{left} and {me} are inside"
        assert left == "" or self.words["recovered"] == me, f"{me} is not told of a death"
        self.note("inside", me)
        seen = self.number(me, "data")
        assert seen == self.words["written"], f"{me} does not see what was written"
        yield STEP
        self.store(me, "data", seen + 1)
        self.note("written", seen + 1)
        yield STEP
        assert self.words["inside"] == me, f"{me} is not alone"
        self.note("inside", "")

    def use(self, me: str, token: int) -> Steps:
        """Take the lock once, and recover it if need be."""
        while not (yield from self.acquire(me, token)):
            if (yield from self.recover(me, token)):
                break
        yield from self.work(me)
        yield STEP
        assert self.exchange(me, "lock", token, 0, release=self.release_on_exit), "not ours"

    def join(self, me: str) -> Steps:
        """pcn_owner_join() over a dead occupant, which leaves the lock as it is."""
        yield lambda: "H" in self.dead and self.words["life"] == ""
        self.exchange(me, "life", "", me)
        yield STEP
        token = self.number(me, "generation") + 1
        self.store(me, "generation", token, release=True)
        yield from self.use(me, token)

    def finish(self) -> None:
        if "H" in self.dead:
            super().finish()
        else:
            assert self.ended("H"), "H waits for ever"
            assert self.ended("W") or "W" in self.dead, "W waits for ever"


class Starving(World):
    """Who starves goes first, and is not waited for once it is gone.

    Args:
        respects: who waits lets one that starves pass.
        patient: all become starving themselves, some time.
        gives_up: the one that starves goes away again, with or without clearing the bit.
    """

    def __init__(
        self, *, respects: bool = True, patient: bool = True, gives_up: str = "never"
    ) -> None:
        super().__init__(lock=8, late_O=0, late_N=0, late_L=1, first=0)
        self.respects = respects
        self.patient = patient
        self.add("O", self.hand_over())
        self.add("N", self.use("N", 4))
        self.add("L", self.give_up(gives_up) if gives_up != "never" else self.use("L", 6))
        self.mortal.add("L")
        self.add("time", self.pass_by())

    def finish(self) -> None:
        if self.words["lock"] not in (6, 6 | RESERVED):  # L died with it: the others are told
            super().finish()

    def pass_by(self) -> Steps:
        """At any moment, one after the other has waited for long."""
        yield STEP
        for word in ("late_O", "late_N") if self.patient else ():
            self.note(word, 1)
            yield STEP

    def acquire(self, me: str, token: int) -> Steps:
        """pcn_mutex_acquire(), without deaths of the owner."""
        while True:
            yield STEP
            seen = self.number(me, "lock")
            late = self.words[f"late_{me}"]
            if seen <= RESERVED and (late or not self.respects or not seen & RESERVED):
                yield STEP
                if self.exchange(me, "lock", seen, token):
                    first = self.words["first"]
                    assert late or not first or "L" in self.dead, f"{me} goes before L"
                    if late:  # the bit is gone: who starves must set it anew
                        self.note("first", 0)
                    return
            elif late and not seen & RESERVED:
                yield STEP
                if self.exchange(me, "lock", seen, seen | RESERVED) and me == "L":
                    self.note("first", 1)
            else:
                yield self.changes(seen, me, late)

    def changes(self, seen: int, me: str, late: object) -> Condition:
        """Whether a waiter that looks again sees something new."""
        return lambda: self.words["lock"] != seen or self.words[f"late_{me}"] != late

    def release(self, me: str) -> Steps:
        """pcn_mutex_release()."""
        while True:
            yield STEP
            seen = self.number(me, "lock")
            yield STEP
            if self.exchange(me, "lock", seen, seen & RESERVED):
                return

    def use(self, me: str, token: int) -> Steps:
        """Wait, take, release."""
        yield from self.acquire(me, token)
        yield from self.release(me)

    def hand_over(self) -> Steps:
        """The owner at first, who wants it again at once."""
        yield from self.release("O")
        yield from self.use("O", 8)

    def give_up(self, how: str) -> Steps:
        """Reserve it, then go away."""
        yield STEP
        seen = self.number("L", "lock")
        yield STEP
        if seen <= RESERVED or not self.exchange("L", "lock", seen, seen | RESERVED):
            return
        while how == "cleanly":
            yield STEP
            seen = self.number("L", "lock")
            yield STEP
            if self.exchange("L", "lock", seen, seen & ~RESERVED):
                return


TWO = "are inside|is not alone|not ours"


def test_one_is_inside_and_each_death_is_told() -> None:
    assert explore(Mutex, deaths=2) > 1000


def test_who_takes_over_by_waiting_is_not_told() -> None:
    with pytest.raises(Violation, match="not told"):
        explore(lambda: Mutex(takes_over=True), deaths=1)


def test_who_recovers_must_ask_again() -> None:
    with pytest.raises(Violation, match=TWO):
        explore(lambda: Mutex(asks=False), deaths=1)


def test_who_recovers_must_exchange_the_very_word() -> None:
    with pytest.raises(Violation, match=TWO):
        explore(lambda: Mutex(exact=False), deaths=1)


def test_a_name_must_not_be_seen_before_its_generation() -> None:
    with pytest.raises(Violation, match=TWO):
        explore(lambda: Mutex(release_on_entry=False), deaths=1)


def test_what_was_written_inside_must_be_released() -> None:
    with pytest.raises(Violation, match="does not see"):
        explore(lambda: Mutex(release_on_exit=False))


def test_who_starves_goes_first_and_nobody_waits_for_the_dead() -> None:
    assert explore(Starving, deaths=1) > 100


def test_a_reservation_must_be_respected() -> None:
    with pytest.raises(Violation, match="goes before L"):
        explore(lambda: Starving(respects=False))


def test_the_reservation_of_a_dead_one_must_end() -> None:
    with pytest.raises(Violation, match="waits for ever"):
        explore(lambda: Starving(patient=False), deaths=1)


def test_who_gives_up_clears_its_reservation() -> None:
    assert explore(lambda: Starving(patient=False, gives_up="cleanly")) > 100


def test_a_reservation_left_behind_is_waited_for() -> None:
    with pytest.raises(Violation, match="waits for ever"):
        explore(lambda: Starving(patient=False, gives_up="rudely"))
