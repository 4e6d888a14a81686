"""A worker is sent to the bench while a task comes (core/channel.md): the other one takes it.

The workers are test_model_doorbell.py's, and so is what a bell is made of: here it rings in one
step. The bench, where only a broadcast wakes, is taken for granted: who got there stays.
"""

from __future__ import annotations

import pytest

from tests.model.explore import STEP, Steps, Violation, explore
from tests.model.test_model_doorbell import LOST, Bell, Finding


class Bench(Bell):
    """Worker A is told to leave the task to worker B.

    Args:
        hands_on: who finds that it is not to serve rings for who is, if there is a task.
        tells: the parent broadcasts after it has written the duty.
        looks_at_duty: who is about to sleep looks at its duty, too.
        spins: A spins before it sleeps.
    """

    def __init__(
        self,
        *,
        hands_on: bool = True,
        tells: bool = True,
        looks_at_duty: bool = True,
        spins: bool = False,
    ) -> None:
        self.hands_on = hands_on
        self.tells = tells
        self.looks_at_duty = looks_at_duty
        super().__init__(items=1, rings_on=False, spinners=("A",) if spins else ())
        self.words["duty"] = self.words["benched"] = 0
        self.add("parent", self.send_to_the_bench("parent"))

    def send_to_the_bench(self, me: str) -> Steps:
        """pcn_channel_duty()."""
        yield STEP
        self.store(me, "duty", 1, release=True)
        if self.tells:
            yield from self.ring(me, everybody=True)

    def ring(self, me: str, everybody: bool = False) -> Steps:
        """In one step: who publishes has a fence before it."""
        yield STEP
        self.fence(me)
        bit, count = self.bell(me)
        if bit or everybody:
            self.note("bell", (0, count + bit))
            self.note("queue", () if everybody else self.sleepers()[1:])

    def has_items(self, me: str) -> bool:
        """Not to wait any longer."""
        told = self.looks_at_duty and me == "A" and self.number(me, "duty") == 1
        return told or super().has_items(me)

    def take(self, me: str) -> Finding:
        """See pcn_channel_claim(); does not return on the bench."""
        if me == "A":
            yield STEP
            if self.number(me, "duty"):
                yield STEP
                if self.hands_on and super().has_items(me):
                    yield from self.ring(me)
                self.note("benched", 1)
                yield lambda: False
        return (yield from super().take(me))

    def finish(self) -> None:
        super().finish()
        assert self.words["benched"] or self.dead, "A does not hear of its duty"


def test_the_other_one_takes_the_task() -> None:
    assert explore(lambda: Bench(spins=True)) > 1000


def test_who_is_not_to_serve_must_hand_a_wake_up_on() -> None:
    with pytest.raises(Violation, match=LOST):
        explore(lambda: Bench(hands_on=False, spins=True))


def test_who_sleeps_must_be_told() -> None:
    with pytest.raises(Violation, match="A does not hear of its duty"):
        explore(lambda: Bench(tells=False))


def test_who_is_about_to_sleep_must_look_at_its_duty() -> None:
    with pytest.raises(Violation, match="A does not hear of its duty"):
        explore(lambda: Bench(looks_at_duty=False))
