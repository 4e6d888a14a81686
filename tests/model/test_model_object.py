"""Objects (core/object.md): never ended under one who has a handle, and ended with the last.

Each operation on the tables is one step here: it is done under one lock, whose own model is
another (test_model_lock.py). What is walked is the order of the operations of different processes:
a name that travels, and a fork.
"""

from __future__ import annotations

import pytest

from tests.model.explore import STEP, Steps, Violation, World, explore


class Holds(World):
    """One object; holds and pins by whose they are."""

    def __init__(self, *holders: str) -> None:
        super().__init__(
            there=1,
            pin="",
            sent=0,
            settled=0,
            forked=0,
            **{f"hold_{name}": int(name in holders) for name in ("P", "C", "R")},
        )

    def counts(self) -> bool:
        return self.words["pin"] != "" or any(
            self.words[f"hold_{name}"] == 1 for name in ("P", "C", "R")
        )

    def change(self, word: str, value: int | str) -> None:
        """One operation under objects_lock: the object ends with its last record."""
        assert self.words["there"] == 1, "an object that has ended is used"
        self.note(word, value)
        if not self.counts():
            self.note("there", 0)

    def sweep(self, name: str, heir: str) -> None:
        """What the death of a process does to its records; all at once, as nobody else is heard."""
        if self.words["there"] == 0:
            return
        if self.words["pin"] == name:
            self.note("pin", heir)
        self.note(f"hold_{name}", 0)
        if not self.counts():
            self.note("there", 0)

    def finish(self) -> None:
        super().finish()
        assert self.words["there"] == 0 or self.counts()


class Travel(Holds):
    """C, a child of P, makes an object and sends its name to R; R may get it after C's death.

    Args:
        pins: the name is pinned before it is sent.
        holds_first: the receiver takes its hold before it unpins.
        heir: the pin of a dead sender goes to its parent.
    """

    def __init__(self, *, pins: bool = True, holds_first: bool = True, heir: bool = True) -> None:
        super().__init__("C")
        self.pins = pins
        self.holds_first = holds_first
        self.heir = heir
        self.add("C", self.send(), mortal=True)
        self.add("R", self.receive())

    def died(self, name: str) -> None:
        self.sweep(name, "P" if self.heir else "")

    def send(self) -> Steps:
        yield STEP
        if self.pins:
            self.change("pin", "C")
        yield STEP
        self.note("sent", 1)
        yield STEP
        self.change("hold_C", 0)

    def receive(self) -> Steps:
        yield lambda: self.words["sent"] == 1
        for word in ("hold_R", "pin") if self.holds_first else ("pin", "hold_R"):
            yield STEP
            self.change(word, 1 if word == "hold_R" else "")

    def finish(self) -> None:
        if self.words["sent"] == 1:
            assert self.ended("R"), "R waits for ever"
            assert self.words["hold_R"] == 1
            assert self.words["there"] == 1
            assert self.words["pin"] == "", "a pin is left"


class Fork(Holds):
    """P forks C, which has its handles, and drops its own.

    Args:
        keeps: P keeps the hold until the child has settled or died.
        tells_last: the child says that it has settled when it has its hold.
    """

    def __init__(self, *, keeps: bool = True, tells_last: bool = True) -> None:
        super().__init__("P")
        self.keeps = keeps
        self.tells_last = tells_last
        self.add("P", self.fork())
        self.add("C", self.settle(), mortal=True)

    def died(self, name: str) -> None:
        self.sweep(name, "P")

    def fork(self) -> Steps:
        yield STEP
        self.note("forked", 1)
        if self.keeps:
            yield lambda: self.words["settled"] == 1 or "C" in self.dead
        yield STEP
        self.change("hold_P", 0)

    def settle(self) -> Steps:
        yield lambda: self.words["forked"] == 1
        for what in ("hold", "tell") if self.tells_last else ("tell", "hold"):
            yield STEP
            if what == "hold":
                self.change("hold_C", 1)
            else:
                self.note("settled", 1)
        yield STEP
        assert self.words["there"] == 1, "an object that has ended is used"
        yield STEP
        self.change("hold_C", 0)

    def finish(self) -> None:
        super().finish()
        assert self.words["there"] == 0, "nobody holds it, and it is there"


USED = "an object that has ended is used"


def test_a_name_that_travels_arrives() -> None:
    assert explore(Travel, deaths=1) > 15


def test_a_name_must_be_pinned() -> None:
    with pytest.raises(Violation, match=USED):
        explore(lambda: Travel(pins=False))


def test_the_receiver_must_hold_before_it_unpins() -> None:
    with pytest.raises(Violation, match=USED):
        explore(lambda: Travel(holds_first=False))


def test_a_dead_senders_pin_needs_an_heir() -> None:
    with pytest.raises(Violation, match=USED):
        explore(lambda: Travel(heir=False), deaths=1)


def test_a_forked_child_finds_what_it_has_handles_on() -> None:
    assert explore(Fork, deaths=1) > 10


def test_the_parent_must_keep_its_holds_until_the_child_has_settled() -> None:
    with pytest.raises(Violation, match=USED):
        explore(lambda: Fork(keeps=False))


def test_the_child_must_not_tell_before_it_holds() -> None:
    with pytest.raises(Violation, match=USED):
        explore(lambda: Fork(tells_last=False))
