"""Claim, retire and bury (core/channel.md): each task ends once, whoever dies.

Two tasks lie in the ring, two workers claim, run and answer them, and the parent buries the dead:
it collects what was answered, and asks the seat what was claimed. At the end each task is in the
ring, answered, or died with its worker: one of these, once. The lock is taken for granted here:
it is free, or its dead owner's to be inherited (test_model_lock.py).
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeAlias

import pytest

from tests.model.explore import STEP, Condition, Steps, Violation, World, explore

TASKS = 2
WORKERS = ("A", "B")

Asking: TypeAlias = Generator[Condition | None, None, bool]


class Claims(World):
    """Two workers and their parent.

    `tail` is how many tasks were retired; task n is the n-th in the ring. A claim counts while
    its `until` is at most `tail`; 0 is no claim.

    Args:
        signs_first: the claim is written before the record is retired.
        heirs_void: who inherits the lock voids the claims beyond `tail`.
        marks_first: the claim says "started" before the task is run.
        publishes_first: the answer is published before the claim is cleared.
        collects_first: the parent collects all answers before it buries.
        settles: it takes the lock to bury.
    """

    def __init__(
        self,
        *,
        signs_first: bool = True,
        heirs_void: bool = True,
        marks_first: bool = True,
        publishes_first: bool = True,
        collects_first: bool = True,
        settles: bool = True,
    ) -> None:
        super().__init__(
            tail=0,
            lock="",
            answers=(),
            until_A=0,
            until_B=0,
            task_A=0,
            task_B=0,
            started_A=0,
            started_B=0,
            ran=(),
            died=(),
            buried=(),
        )
        self.signs_first = signs_first
        self.heirs_void = heirs_void
        self.marks_first = marks_first
        self.publishes_first = publishes_first
        self.collects_first = collects_first
        self.settles = settles
        for name in WORKERS:
            self.add(name, self.work(name), mortal=True)
        self.add("parent", self.bury_all("parent"))

    def tuple_of(self, word: str) -> tuple[object, ...]:
        """A word that holds a list."""
        value = self.words[word]
        assert isinstance(value, tuple)
        return value

    def append(self, word: str, value: int | str) -> None:
        """Add to a word that holds a list."""
        old = self.words[word]
        assert isinstance(old, tuple)
        self.note(word, (*old, value))

    # ---- the lock ----

    def lock(self, me: str) -> Asking:
        """pcn_ring_lock(): whether the last owner died inside."""
        yield lambda: self.words["lock"] == "" or self.words["lock"] in self.dead
        last = self.words["lock"]
        self.exchange(me, "lock", last, me)
        return last != ""

    def unlock(self, me: str) -> Steps:
        """pcn_ring_unlock()."""
        yield STEP
        assert self.exchange(me, "lock", me, ""), "the lock is another one's"

    def void_unmade_claims(self, me: str) -> Steps:
        """What an heir does first."""
        for worker in WORKERS:
            yield STEP
            if self.number(me, f"until_{worker}") > self.number(me, "tail"):
                self.store(me, f"until_{worker}", 0)

    # ---- the worker ----

    def work(self, me: str) -> Steps:
        """Claim, run and answer until the ring is empty."""
        while True:
            heir = yield from self.lock(me)
            if heir and self.heirs_void:
                yield from self.void_unmade_claims(me)
            yield STEP
            task = self.number(me, "tail") + 1
            if task > TASKS:
                yield from self.unlock(me)
                return
            yield STEP
            self.store(me, f"task_{me}", task)
            self.store(me, f"started_{me}", 0)
            for sign in (self.signs_first, not self.signs_first):
                yield STEP
                if sign:
                    self.store(me, f"until_{me}", task)
                else:
                    self.store(me, "tail", task, release=True)
            yield from self.unlock(me)
            for mark in (self.marks_first, not self.marks_first):
                yield STEP
                if mark:
                    self.store(me, f"started_{me}", 1)
                else:
                    assert task not in self.tuple_of("ran"), f"task {task} is run twice"
                    self.append("ran", task)
            for publish in (self.publishes_first, not self.publishes_first):
                yield STEP
                if publish:
                    self.fence(me)  # the push has a lock of its own, and releases it
                    self.append("answers", task)
                else:
                    self.store(me, f"until_{me}", 0)

    # ---- the parent ----

    def bury_all(self, me: str) -> Steps:
        """Bury each dead worker. `answers` is the ledger, as soon as they are collected."""
        while True:
            yield lambda: bool(self.dead - set(self.tuple_of("buried")))
            worker = min(str(name) for name in self.dead - set(self.tuple_of("buried")))
            yield STEP
            known = self.words["answers"] if self.collects_first else ()
            if self.settles and (yield from self.lock(me)) and self.heirs_void:
                yield from self.void_unmade_claims(me)
            yield STEP
            until = self.number(me, f"until_{worker}")
            yield STEP
            claimed = 0 < until <= self.number(me, "tail")
            started = self.number(me, f"started_{worker}")
            task = self.number(me, f"task_{worker}")
            if self.settles:
                yield from self.unlock(me)
            yield STEP
            self.store(me, f"until_{worker}", 0)
            self.append("buried", worker)
            assert isinstance(known, tuple)
            if claimed and task not in known:
                self.append("died", task)
                assert started or task not in self.tuple_of("ran"), f"task {task} was started"

    def finish(self) -> None:
        waiting = [name for name in WORKERS if name not in self.dead and not self.ended(name)]
        assert not waiting, f"waits for ever: {', '.join(waiting)}"
        for task in range(1, TASKS + 1):
            ends = [
                *(["in the ring"] if self.number("parent", "tail") < task else []),
                *["answered" for done in self.tuple_of("answers") if done == task],
                *["died" for lost in self.tuple_of("died") if lost == task],
            ]
            assert len(ends) == 1, f"task {task} is {' and '.join(ends) or 'lost'}"


def test_each_task_ends_once() -> None:
    assert explore(Claims, deaths=2) > 1000


def test_a_record_must_be_claimed_before_it_is_retired() -> None:
    with pytest.raises(Violation, match=r"task \d is lost"):
        explore(lambda: Claims(signs_first=False), deaths=1)


def test_an_heir_must_void_what_was_not_claimed() -> None:
    with pytest.raises(Violation, match=r"task \d is answered and died|was started"):
        explore(lambda: Claims(heirs_void=False), deaths=1)


def test_a_task_must_be_marked_before_it_is_run() -> None:
    with pytest.raises(Violation, match=r"task \d was started"):
        explore(lambda: Claims(marks_first=False), deaths=1)


def test_an_answer_must_be_published_before_the_claim_is_cleared() -> None:
    with pytest.raises(Violation, match=r"task \d is lost"):
        explore(lambda: Claims(publishes_first=False), deaths=1)


def test_the_parent_must_collect_before_it_buries() -> None:
    with pytest.raises(Violation, match=r"task \d is answered and died"):
        explore(lambda: Claims(collects_first=False), deaths=1)


def test_the_parent_must_have_the_lock_when_it_buries() -> None:
    with pytest.raises(Violation, match=r"task \d is answered and died|was started"):
        explore(lambda: Claims(settles=False), deaths=1)
