"""The doorbell (core/doorbell.md), with the spinner of the work bell (core/channel.md).

A poster publishes items, one ring each. Two workers take one each; who finds none sleeps, with
nothing but a ring to wake it. A lost wake-up is an item that lies there while a worker sleeps, and
the other one is asleep, too, or busy. Workers may die anywhere; a burier broadcasts after each
death.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeAlias

import pytest

from tests.model.explore import STEP, Condition, Steps, Violation, World, explore

Finding: TypeAlias = Generator[Condition | None, None, bool]


class Bell(World):
    """A poster, two workers, a burier, one bell.

    `bell` is the futex word: whether somebody may sleep, and the rings counted. `queue` is the
    kernel's: who sleeps. An item is there while `tail` is behind `head`.

    Args:
        looks_again: the sleeper looks between arming and sleeping.
        fences: the ringer has a fence between publishing and reading the bell.
        woken_sets_bit: who was woken announces that others may still sleep.
        rings_on: who took an item and sees another rings for the next worker.
        broadcasts: who buries the dead wakes all.
        spinners: these workers spin before they sleep, one at a time; the poster does not ring
            while one does.
        spinner_fences: both sides have a fence around the spinner's name.
        burier_clears: who buries takes the dead one's name from the spinner's place.
    """

    def __init__(
        self,
        *,
        looks_again: bool = True,
        fences: bool = True,
        woken_sets_bit: bool = True,
        rings_on: bool = True,
        broadcasts: bool = True,
        spinners: tuple[str, ...] = (),
        spinner_fences: bool = True,
        burier_clears: bool = True,
        items: int = 2,
    ) -> None:
        super().__init__(head=0, tail=0, bell=(0, 0), queue=(), spinner="", buried=())
        self.looks_again = looks_again
        self.fences = fences
        self.woken_sets_bit = woken_sets_bit
        self.rings_on = rings_on
        self.broadcasts = broadcasts
        self.spinners = spinners
        self.spinner_fences = spinner_fences
        self.burier_clears = burier_clears
        self.items = items
        self.add("poster", self.post("poster"))
        for name in ("A", "B"):
            self.add(name, self.take_all(name), mortal=True)
        self.add("burier", self.bury("burier"))

    def died(self, name: str) -> None:
        self.note("queue", tuple(who for who in self.sleepers() if who != name))

    def sleepers(self) -> tuple[str, ...]:
        """Who sleeps, first come first."""
        queue = self.words["queue"]
        assert isinstance(queue, tuple)
        return tuple(str(who) for who in queue)

    def bell(self, me: str) -> tuple[int, int]:
        """The bell's word: the bit, and the count."""
        match self.load(me, "bell"):
            case (int(bit), int(count)):
                return bit, count
        raise AssertionError

    # ---- the bell ----

    def ring(self, me: str, everybody: bool = False) -> Steps:
        """pcn_doorbell_ring(), pcn_doorbell_broadcast()."""
        yield STEP
        if self.fences:
            self.fence(me)
        bit, count = self.bell(me)
        while bit:
            yield STEP
            if self.exchange(me, "bell", (1, count), (0, count + 1), release=False):
                break
            bit, count = self.bell(me)
        if bit or everybody:
            yield STEP
            self.note("queue", () if everybody else self.sleepers()[1:])

    def sleep(self, me: str, ticket: tuple[int, int]) -> Steps:
        """pcn_doorbell_sleep()."""
        yield STEP
        if self.bell(me) != ticket:
            return
        self.note("queue", (*self.sleepers(), me))  # the kernel compares and queues in one
        yield lambda: me not in self.sleepers()
        if self.woken_sets_bit:
            yield from self.arm(me)

    def arm(self, me: str) -> Steps:
        """Set the bit; the word as it is then stands in the bell itself."""
        yield STEP
        bit, count = self.bell(me)
        assert self.exchange(me, "bell", (bit, count), (1, count))

    # ---- who uses it ----

    def has_items(self, me: str) -> bool:
        """pcn_ring_has_records()."""
        return self.number(me, "head") > self.number(me, "tail")

    def post(self, me: str) -> Steps:
        """Publish, and ring; see pcn_channel_submit()."""
        for item in range(1, self.items + 1):
            yield STEP
            self.store(me, "head", item)
            if self.spinners:
                yield STEP
                if self.spinner_fences:
                    self.fence(me)
                if self.load(me, "spinner"):
                    continue
            yield from self.ring(me)

    def take(self, me: str) -> Finding:
        """Take an item, and ring on if there is more; see pcn_channel_claim()."""
        yield STEP
        tail = self.number(me, "tail")
        if self.number(me, "head") == tail:
            return False
        self.exchange(me, "tail", tail, tail + 1)  # in the same step: it holds a lock
        if self.rings_on:
            yield STEP
            if self.has_items(me):
                yield from self.ring(me)
        return True

    def take_all(self, me: str) -> Steps:
        """A worker: take what is there, else wait for work; see pcn_channel_wait_work()."""
        while True:
            if (yield from self.take(me)):
                # The work may take until the others have theirs: nobody may count on this one.
                yield lambda: self.words["tail"] == self.items or bool(self.dead)
                continue
            if me in self.spinners:
                yield STEP
                if self.exchange(me, "spinner", "", me, release=False):
                    yield STEP
                    found = self.has_items(me)
                    yield STEP
                    self.store(me, "spinner", "")
                    if self.spinner_fences:
                        self.fence(me)
                    if found:
                        continue
            if self.looks_again:
                yield from self.arm(me)
                ticket = self.bell(me)
                yield STEP
                if self.has_items(me):
                    continue
            else:
                yield STEP
                if self.has_items(me):
                    continue
                yield from self.arm(me)
                ticket = self.bell(me)
            yield from self.sleep(me, ticket)

    def bury(self, me: str) -> Steps:
        """The parent's part after each death; see pcn_channel_bury()."""
        while True:
            yield lambda: bool(self.unburied())
            name = self.unburied()[0]
            self.note("buried", (*self.buried(), name))
            if self.burier_clears:
                yield STEP
                self.exchange(me, "spinner", name, "", release=False)
            if self.broadcasts:
                yield from self.ring(me, everybody=True)

    def buried(self) -> tuple[str, ...]:
        """The dead that were buried."""
        buried = self.words["buried"]
        assert isinstance(buried, tuple)
        return tuple(str(name) for name in buried)

    def unburied(self) -> list[str]:
        """The dead that were not."""
        return sorted(self.dead - set(self.buried()))

    def finish(self) -> None:
        if self.dead >= {"A", "B"}:
            return
        assert self.ended("poster"), "the poster waits"
        assert self.words["head"] == self.words["tail"], "an item lies there while a worker sleeps"


LOST = "an item lies there while a worker sleeps"
BOTH = ("A", "B")


def test_no_wake_up_is_lost() -> None:
    assert explore(Bell) > 1000


def test_no_wake_up_is_lost_to_a_death() -> None:
    assert explore(lambda: Bell(items=1), deaths=1) > 1000


def test_no_wake_up_is_lost_to_a_spinner() -> None:
    assert explore(lambda: Bell(spinners=("A",))) > 1000


def test_no_wake_up_is_lost_to_a_dead_spinner() -> None:
    assert explore(lambda: Bell(spinners=BOTH, items=1), deaths=1) > 1000


def test_to_look_before_arming_is_not_enough() -> None:
    with pytest.raises(Violation, match=LOST):
        explore(lambda: Bell(looks_again=False))


def test_the_ringer_needs_its_fence() -> None:
    with pytest.raises(Violation, match=LOST):
        explore(lambda: Bell(fences=False))


def test_the_woken_one_must_set_the_bit() -> None:
    with pytest.raises(Violation, match=LOST):
        explore(lambda: Bell(woken_sets_bit=False))


def test_who_sees_more_must_ring_on() -> None:
    with pytest.raises(Violation, match=LOST):
        explore(lambda: Bell(rings_on=False))


def test_a_burial_must_broadcast() -> None:
    with pytest.raises(Violation, match=LOST):
        explore(lambda: Bell(broadcasts=False), deaths=1)


def test_the_spinner_and_the_poster_need_their_fences() -> None:
    with pytest.raises(Violation, match=LOST):
        explore(lambda: Bell(spinners=BOTH, spinner_fences=False))


def test_a_burial_must_free_the_spinners_place() -> None:
    with pytest.raises(Violation, match=LOST):
        explore(lambda: Bell(spinners=BOTH, burier_clears=False), deaths=1)
