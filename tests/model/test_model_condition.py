"""The condition (core/condition.md): a notification is lost to no death, no timeout, no other wait.

Waiters wait once each; one may give up at any time, and then wait elsewhere. A notifier, having
the lock, notifies the first that waits. Whoever is notified bears that until it has the lock
again; if it dies before, another one that waits takes it over. The lock is taken for granted: it
is free, or its dead owner's to be taken (test_model_lock.py).
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeAlias

import pytest

from tests.model.explore import STEP, Condition, Steps, Value, Violation, World, explore

WAITING: Value = ("waiting", 1)
ELSEWHERE: Value = ("waiting", 2)
AT_THE_LOCK: Value = ("waiting", 0)

Asking: TypeAlias = Generator[Condition | None, None, bool]


class Notifying(World):
    """Waiters, and one who notifies.

    For each waiter: `place` and `state` are its spot's, `held` its process's hold's. For the
    checks: `inside` says that it has let go of the lock to wait; `given` and `used` count
    notifications; `owed` are those that waited when the notifier had the lock.

    Args:
        waiters: their names, in the order of their tickets.
        gives_up: the first of them does, at any time, and then waits elsewhere.
        without_lock: it does not even take the lock again (a second interrupt).
        stand: all have come to wait before anything else happens.
        orphan: the first of them was notified and died, before anything else happens.
        enters_first: a waiter stands there before it lets go of the lock.
        leaves_by_exchange: it gives up by an exchange that fails if it was notified.
        names_turns: its spot's state is another one at each thing that it waits for.
        looks_again: the notifier looks at the place again, behind the state.
        inherits: a waiter takes over what a dead one bears.
        bears: what a waiter was notified of is in its hold until it has the lock.
        bears_first: who takes something over says so before.
        passes_on: who bears two notifications notifies another one.
        counts_first: a process that bears something says so before it leaves its spot.
    """

    def __init__(
        self,
        *,
        waiters: str = "AB",
        gives_up: bool = False,
        without_lock: bool = False,
        stand: bool = False,
        orphan: bool = False,
        enters_first: bool = True,
        leaves_by_exchange: bool = True,
        names_turns: bool = True,
        looks_again: bool = True,
        inherits: bool = True,
        bears: bool = True,
        bears_first: bool = True,
        passes_on: bool = True,
        counts_first: bool = True,
    ) -> None:
        words: dict[str, Value] = {"lock": "", "given": 0, "used": 0, "owed": ()}
        for name in waiters:
            words |= {f"place_{name}": "here" if stand else ""}
            words |= {f"state_{name}": WAITING if stand else "idle"}
            words |= {f"held_{name}": 0, f"inside_{name}": int(stand)}
        super().__init__(**words)
        self.waiters = waiters
        self.without_lock = without_lock
        self.stand = stand
        self.enters_first = enters_first
        self.leaves_by_exchange = leaves_by_exchange
        self.names_turns = names_turns
        self.looks_again = looks_again
        self.inherits = inherits
        self.bears = bears
        self.bears_first = bears_first
        self.passes_on = passes_on
        self.counts_first = counts_first
        for name in waiters:
            steps = self.give_up(name) if gives_up and name == waiters[0] else self.wait(name)
            self.add(name, steps, mortal=True)
        self.add("notifier", self.notify("notifier"))
        if orphan:
            self.die(waiters[0])
            self.words |= {f"state_{waiters[0]}": "notified", "given": 1}

    # ---- the lock ----

    def lock(self, me: str) -> Steps:
        """Take it when it is free, or its owner dead."""
        yield lambda: self.words["lock"] == "" or self.words["lock"] in self.dead
        assert self.exchange(me, "lock", self.words["lock"], me)

    def unlock(self, me: str) -> Steps:
        """Free it; whoever has it next sees what was written before."""
        yield STEP
        assert self.exchange(me, "lock", me, "")

    # ---- the waiter ----

    def enter(self, me: str) -> Steps:
        """pcn_condition_enter()."""
        yield STEP
        self.store(me, f"state_{me}", AT_THE_LOCK)  # pcn_spot_stand() does
        self.store(me, f"place_{me}", "here", release=True)
        self.store(me, f"state_{me}", WAITING, release=True)

    def let_go(self, me: str) -> Steps:
        """Release the lock, to wait."""
        yield STEP
        assert self.exchange(me, "lock", me, "")
        self.note(f"inside_{me}", 1)

    def begin(self, me: str) -> Steps:
        """Up to the sleep."""
        if self.stand:
            yield STEP
            return
        yield from self.lock(me)
        if self.enters_first:
            yield from self.enter(me)
            yield from self.let_go(me)
        else:
            yield from self.let_go(me)
            yield from self.enter(me)

    def leave(self, me: str) -> Asking:
        """pcn_condition_leave(): whether it was notified."""
        yield STEP
        if self.leaves_by_exchange:
            notified = not self.exchange(me, f"state_{me}", WAITING, "idle", release=False)
        else:
            notified = self.load(me, f"state_{me}") != WAITING
        for bear in (self.counts_first, not self.counts_first):
            yield STEP
            if bear and notified and self.bears:
                self.add_held(me, 1)
            elif not bear:
                self.store(me, f"place_{me}", "")
                self.store(me, f"state_{me}", "idle")
        return notified

    def lock_again(self, me: str) -> Steps:
        """Wait for the lock, standing there."""
        yield STEP
        self.store(me, f"state_{me}", AT_THE_LOCK if self.names_turns else WAITING)
        self.store(me, f"place_{me}", "lock", release=True)
        yield from self.lock(me)
        self.store(me, f"place_{me}", "")
        self.store(me, f"state_{me}", "idle")

    def finish_wait(self, me: str, borne: int) -> Steps:
        """pcn_condition_finish(), having the lock."""
        if borne > 1 and self.passes_on:
            yield from self.notify_first(me)
        yield STEP
        self.note("used", self.number(me, "used") + (borne if self.passes_on else 1))
        if self.bears:
            self.add_held(me, -borne)
        yield from self.unlock(me)

    def wait(self, me: str) -> Steps:
        """Wait until notified, and use it."""
        yield from self.begin(me)
        borne = 1
        while self.load(me, f"state_{me}") == WAITING:
            yield (
                lambda: (
                    self.words[f"state_{me}"] != WAITING
                    or (self.inherits and self.something_is_borne())
                )
            )
            if self.load(me, f"state_{me}") == WAITING:
                borne += yield from self.inherit(me)
        assert (yield from self.leave(me))
        yield from self.lock_again(me)
        yield from self.finish_wait(me, borne)

    def give_up(self, me: str) -> Steps:
        """Wait, but not for long; then somewhere else."""
        yield from self.begin(me)
        notified = yield from self.leave(me)
        if notified or not self.without_lock:
            yield from self.lock_again(me)
        if notified:
            yield from self.finish_wait(me, 1)
            return
        if not self.without_lock:
            yield from self.unlock(me)
        yield STEP
        self.store(me, f"state_{me}", AT_THE_LOCK)
        self.store(me, f"place_{me}", "elsewhere", release=True)
        self.store(me, f"state_{me}", ELSEWHERE, release=True)
        self.note(f"inside_{me}", 0)
        yield lambda: self.words[f"state_{me}"] == "notified"
        raise AssertionError("somebody is woken where nobody was notified")

    # ---- what the dead bear ----

    def add_held(self, who: str, more: int) -> None:
        """Add to a hold's count; its owner's threads do so by one atomic addition."""
        self.fence(who)
        self.note(f"held_{who}", self.number(who, f"held_{who}") + more)

    def something_is_borne(self) -> bool:
        """Whether a dead waiter was notified and did not use it."""
        return any(
            self.words[f"held_{name}"] or self.at_the_condition(name) == "notified"
            for name in self.dead
        )

    def at_the_condition(self, name: str) -> Value:
        """A spot's state, if it is here that it stands."""
        return self.words[f"state_{name}"] if self.words[f"place_{name}"] == "here" else ""

    def take(self, me: str) -> Asking:
        """Take one over; exactly one waiter gets it."""
        for name in tuple(sorted(self.dead)):
            yield STEP
            if self.at_the_condition(name) == "notified" and self.exchange(
                me, f"state_{name}", "notified", "idle", release=False
            ):
                return True
            yield STEP
            held = self.number(me, f"held_{name}")
            if held and self.exchange(me, f"held_{name}", held, held - 1, release=False):
                return True
        return False

    def inherit(self, me: str) -> Generator[Condition | None, None, int]:
        """How many more it bears beside what its spot says."""
        if self.bears_first:
            yield STEP
            self.add_held(me, 1)
        taken = yield from self.take(me)
        if not self.bears_first:
            yield STEP
            self.add_held(me, 1)
        yield STEP
        if taken and not self.exchange(me, f"state_{me}", WAITING, "notified", release=False):
            return 1
        yield STEP
        self.add_held(me, -1)
        return 0

    # ---- the notifier ----

    def notify_first(self, me: str) -> Steps:
        """Notify the first of those that wait; having the lock."""
        for name in self.waiters:
            yield STEP
            if self.load(me, f"place_{name}") != "here" or name in self.dead:
                continue
            yield STEP
            state = self.load(me, f"state_{name}")
            if not isinstance(state, tuple) or state == AT_THE_LOCK:
                continue
            yield STEP
            if self.looks_again and self.load(me, f"place_{name}") != "here":
                continue
            yield STEP
            if self.exchange(me, f"state_{name}", state, "notified", release=False):
                self.note("given", self.number(me, "given") + 1)
                return

    def notify(self, me: str) -> Steps:
        """Notify one, whoever waits by then."""
        yield from self.lock(me)
        self.note("owed", tuple(n for n in self.waiters if self.words[f"inside_{n}"]))
        yield from self.notify_first(me)
        yield from self.unlock(me)

    # ---- what must hold ----

    def check(self) -> None:
        if not self.dead:
            assert self.number("notifier", "used") <= self.number("notifier", "given"), "doubled"

    def finish(self) -> None:
        assert self.ended("notifier"), "the notifier waits"
        waiting = [
            name
            for name in self.waiters
            if name not in self.dead and not self.ended(name) and self.words[f"inside_{name}"]
        ]
        if not waiting:
            return
        given = self.number("notifier", "given")
        assert self.number("notifier", "used") >= given, "a notification is lost"
        owed = self.words["owed"]
        assert isinstance(owed, tuple)
        assert given or not set(waiting) & set(owed), "nobody was notified"


def test_a_waiter_is_notified() -> None:
    assert explore(Notifying) > 300


def test_no_notification_is_lost_to_who_gives_up() -> None:
    assert explore(lambda: Notifying(gives_up=True)) > 1000


def test_none_is_lost_to_who_goes_elsewhere() -> None:
    assert explore(lambda: Notifying(gives_up=True, without_lock=True)) > 1000


def test_none_is_lost_to_a_death() -> None:
    assert explore(Notifying, deaths=1) > 1000


def test_none_is_lost_to_two_deaths() -> None:
    assert explore(lambda: Notifying(waiters="ABC", stand=True), deaths=2) > 1000


def test_to_stand_there_after_letting_go_is_too_late() -> None:
    with pytest.raises(Violation, match="nobody was notified"):
        explore(lambda: Notifying(enters_first=False))


def test_giving_up_must_be_an_exchange() -> None:
    with pytest.raises(Violation, match="a notification is lost"):
        explore(lambda: Notifying(gives_up=True, leaves_by_exchange=False))


def test_a_state_must_name_its_turn() -> None:
    with pytest.raises(Violation, match="a notification is lost"):
        explore(lambda: Notifying(gives_up=True, names_turns=False))


def test_the_notifier_must_look_at_the_place_again() -> None:
    with pytest.raises(Violation, match="lost|somebody is woken where nobody was notified"):
        explore(lambda: Notifying(gives_up=True, without_lock=True, looks_again=False))


def test_the_dead_must_be_inherited_from() -> None:
    with pytest.raises(Violation, match="a notification is lost"):
        explore(lambda: Notifying(inherits=False), deaths=1)


def test_a_notification_is_borne_until_the_lock_is_there() -> None:
    with pytest.raises(Violation, match="a notification is lost"):
        explore(lambda: Notifying(bears=False), deaths=1)


def test_a_bearer_must_say_so_before_it_leaves_its_spot() -> None:
    with pytest.raises(Violation, match="a notification is lost"):
        explore(lambda: Notifying(counts_first=False), deaths=1)


def test_an_heir_must_say_so_before() -> None:
    with pytest.raises(Violation, match="a notification is lost"):
        explore(lambda: Notifying(waiters="ABC", stand=True, bears_first=False), deaths=2)


def test_who_bears_two_must_pass_one_on() -> None:
    with pytest.raises(Violation, match="a notification is lost"):
        explore(lambda: Notifying(waiters="ABC", stand=True, orphan=True, passes_on=False))


def test_who_bears_two_passes_one_on() -> None:
    assert explore(lambda: Notifying(waiters="ABC", stand=True, orphan=True), deaths=2) > 1000
