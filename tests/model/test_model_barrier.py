"""The barrier (core/barrier.md): all who waited in a round are told the same, and in the end.

Processes come once each, and breakers break the barrier and reset it. Who waits looks when he
likes, perhaps several rounds late. If a process that is counted dies, whoever waits with it breaks
the round off.
"""

from __future__ import annotations

import pytest

from tests.model.explore import STEP, Steps, Value, Violation, World, explore


class Rounds(World):
    """Processes that come, and breakers.

    `word` holds the rounds that opened, those that were broken off, whether the barrier is broken,
    and how many have come. `history` says how many rounds had opened at each break. `mark_X`: the
    round in which X waits, as its hold says; only who is mortal writes it. For the checks: `ended`
    is what became of each round.

    Args:
        comers: who comes.
        parties: how many make a round.
        mortal: they may die.
        breakers: how many break it.
        asks_history: a late one asks the history which of several ends came first.
        writes_first: a breaker writes the history before the word counts it.
        locks: breakers take turns.
        marks_first: who comes marks the round before the word counts it.
        last_one_looks: who completes a round looks whether all of it live.
    """

    def __init__(
        self,
        *,
        comers: str = "ABC",
        parties: int = 2,
        mortal: bool = False,
        breakers: int = 1,
        asks_history: bool = True,
        writes_first: bool = True,
        locks: bool = True,
        marks_first: bool = True,
        last_one_looks: bool = True,
    ) -> None:
        words: dict[str, Value] = {"word": (0, 0, 0, 0), "lock": "", "ended": ()}
        words |= {f"history_{number}": 0 for number in range(1, 4)}
        words |= {f"mark_{name}": "" for name in comers}
        super().__init__(**words)
        self.comers = comers
        self.parties = parties
        self.last_one_looks = last_one_looks
        self.asks_history = asks_history
        self.writes_first = writes_first
        self.locks = locks
        self.marks_first = marks_first
        for name in comers:
            self.add(name, self.come(name), mortal=mortal)
        for number in range(breakers):
            self.add(f"breaker{number}", self.break_and_reset(f"breaker{number}"))

    def state(self, me: str) -> tuple[int, int, int, int]:
        """The word."""
        match self.load(me, "word"):
            case (int(trips), int(breaks), int(broken), int(count)):
                return trips, breaks, broken, count
        raise AssertionError

    def end(self, trips: int, breaks: int, how: str) -> None:
        """For the checks: what became of a round."""
        ended = self.words["ended"]
        assert isinstance(ended, tuple)
        self.note("ended", (*ended, (trips, breaks, how)))

    # ---- who comes ----

    def come(self, me: str) -> Steps:
        """pcn_barrier_arrive(), and the wait."""
        while True:
            yield STEP
            trips, breaks, broken, count = self.state(me)
            if broken:
                return
            here, last = (trips, breaks), count + 1 == self.parties
            lost = self.lost(here)
            if last and self.mortal and self.last_one_looks:
                yield STEP
                if self.lost(here):
                    yield from self.break_off(me, here)
                    return
            after: Value = (trips + 1, breaks, 0, 0) if last else (trips, breaks, 0, count + 1)
            if me in self.mortal and self.marks_first:
                yield STEP
                self.store(me, f"mark_{me}", (trips, breaks))
            yield STEP
            if self.exchange(me, "word", (trips, breaks, 0, count), after):
                break
        if last:
            assert not lost, f"{me} passes together with the dead"
            self.end(trips, breaks, "opened")
            return
        if me in self.mortal and not self.marks_first:
            yield STEP
            self.store(me, f"mark_{me}", (trips, breaks))
        yield from self.wait(me, trips, breaks)

    def lost(self, key: tuple[int, int]) -> bool:
        """Whether somebody died who waited in this round."""
        return any(self.words[f"mark_{name}"] == key for name in self.dead)

    def wait(self, me: str, trips: int, breaks: int) -> Steps:
        """pcn_barrier_sleep() until it tells of an end."""
        yield lambda: self.state(me)[:2] != (trips, breaks) or self.lost((trips, breaks))
        if self.state(me)[:2] == (trips, breaks):
            yield from self.break_off(me, (trips, breaks))
        yield STEP
        now_trips, now_breaks, _, _ = self.state(me)
        opened = now_breaks == breaks
        if now_breaks != breaks and now_trips != trips and self.asks_history:
            yield STEP
            opened = self.load(me, f"history_{breaks + 1}") != trips
        told = (trips, breaks, "opened" if opened else "broken")
        ended = self.words["ended"]
        assert isinstance(ended, tuple)
        assert told in ended, f"{me} is told otherwise than its round ended"

    # ---- who breaks it off ----

    def break_off(self, me: str, key: tuple[int, int] | None = None) -> Steps:
        """Break the round with this key off, or any; the barrier is broken then."""
        if self.locks:
            yield lambda: self.words["lock"] == "" or self.words["lock"] in self.dead
            self.exchange(me, "lock", self.words["lock"], me)
        while True:
            yield STEP
            trips, breaks, broken, count = self.state(me)
            if broken or (key is not None and key != (trips, breaks)):
                break
            if self.writes_first:
                yield STEP
                self.store(me, f"history_{breaks + 1}", trips)
            yield STEP
            before, after = (trips, breaks, 0, count), (trips, breaks + 1, 1, 0)
            if self.exchange(me, "word", before, after, release=self.writes_first):
                self.end(trips, breaks, "broken")
                if not self.writes_first:
                    yield STEP
                    self.store(me, f"history_{breaks + 1}", trips)
                break
        if self.locks:
            yield STEP
            self.exchange(me, "lock", me, "")

    def break_and_reset(self, me: str) -> Steps:
        """pcn_barrier_abort(), pcn_barrier_reset()."""
        yield from self.break_off(me)
        yield STEP
        trips, breaks, broken, _ = self.state(me)
        if broken:
            self.exchange(me, "word", (trips, breaks, 1, 0), (trips, breaks, 0, 0))

    # ---- what must hold ----

    def finish(self) -> None:
        trips, breaks, _, count = self.state("A")
        here = (trips, breaks)
        for name in self.processes:
            assert name in self.comers or self.ended(name), f"{name} waits"
        waiting = [n for n in self.comers if n not in self.dead and not self.ended(n)]
        assert len(waiting) < self.parties, "they wait for each other"
        assert len(waiting) == count or not waiting, "somebody waits for the dead"
        if self.mortal:
            assert all(self.words[f"mark_{name}"] == here for name in waiting)


def test_all_are_told_how_their_round_ended() -> None:
    assert explore(Rounds) > 1000


def test_two_may_break_it() -> None:
    assert explore(lambda: Rounds(comers="AB", breakers=2)) > 1000


@pytest.mark.parametrize("parties", [2, 3])
def test_nobody_waits_for_the_dead(parties: int) -> None:
    assert explore(lambda: Rounds(mortal=True, parties=parties, breakers=0), deaths=2) > 1000


def test_a_late_one_must_ask_the_history() -> None:
    with pytest.raises(Violation, match="told otherwise"):
        explore(lambda: Rounds(asks_history=False))


def test_the_history_must_be_written_first() -> None:
    with pytest.raises(Violation, match="told otherwise"):
        explore(lambda: Rounds(writes_first=False))


def test_breakers_must_take_turns() -> None:
    with pytest.raises(Violation, match="told otherwise"):
        explore(lambda: Rounds(comers="AB", breakers=2, locks=False))


def test_who_comes_must_be_marked_before_it_counts() -> None:
    def build() -> Rounds:
        return Rounds(comers="AB", parties=3, mortal=True, breakers=0, marks_first=False)

    with pytest.raises(Violation, match="waits for the dead"):
        explore(build, deaths=1)


def test_the_last_one_must_look_whether_the_others_live() -> None:
    with pytest.raises(Violation, match="passes together with the dead"):
        explore(lambda: Rounds(mortal=True, breakers=0, last_one_looks=False), deaths=1)
