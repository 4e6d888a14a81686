"""The explorer itself: it must find what can go wrong, or the models prove nothing."""

from __future__ import annotations

import pytest

from tests.model.explore import STEP, Steps, Violation, World, explore


class Counting(World):
    """Two processes add one each."""

    def __init__(self, *, at_once: bool) -> None:
        super().__init__(count=0)
        for name in ("A", "B"):
            self.add(name, self.increase(name, at_once=at_once))

    def increase(self, me: str, *, at_once: bool) -> Steps:
        yield STEP
        seen = self.number(me, "count")
        if at_once:
            assert self.exchange(me, "count", seen, seen + 1)
            return
        yield STEP
        self.store(me, "count", seen + 1)

    def finish(self) -> None:
        super().finish()
        assert self.words["count"] == 2, "an addition is lost"


def test_a_lost_update_is_found() -> None:
    explore(lambda: Counting(at_once=True))
    with pytest.raises(Violation, match="an addition is lost"):
        explore(lambda: Counting(at_once=False))


class Message(World):
    """One writes a message and a flag, the other waits for the flag and reads."""

    def __init__(self, *, release: bool) -> None:
        super().__init__(message="", flag=0)
        self.add("writer", self.write(release=release))
        self.add("reader", self.read())

    def write(self, *, release: bool) -> Steps:
        yield STEP
        self.store("writer", "message", "hello")
        self.store("writer", "flag", 1, release=release)

    def read(self) -> Steps:
        yield lambda: self.load("reader", "flag") == 1
        assert self.load("reader", "message") == "hello", "the flag came first"


def test_stores_are_seen_in_another_order_unless_released() -> None:
    explore(lambda: Message(release=True))
    with pytest.raises(Violation, match="the flag came first"):
        explore(lambda: Message(release=False))


class Dekker(World):
    """Each sets its flag, then looks at the other's: one of the two must see the other."""

    def __init__(self, *, fences: bool) -> None:
        super().__init__(A=0, B=0, alone=0)
        self.add("A", self.look("A", "B", fences=fences))
        self.add("B", self.look("B", "A", fences=fences))

    def look(self, me: str, other: str, *, fences: bool) -> Steps:
        yield STEP
        self.store(me, me, 1)
        if fences:
            self.fence(me)
        yield STEP
        if not self.load(me, other):
            self.note("alone", self.number(me, "alone") + 1)

    def check(self) -> None:
        assert self.words["alone"] != 2, "neither saw the other"


def test_a_missing_fence_is_found() -> None:
    explore(lambda: Dekker(fences=True))
    with pytest.raises(Violation, match="neither saw the other"):
        explore(lambda: Dekker(fences=False))


class Baton(World):
    """One waits for what the other does last."""

    def __init__(self) -> None:
        super().__init__(passed=0)
        self.add("runner", self.run(), mortal=True)
        self.add("waiter", self.wait())

    def run(self) -> Steps:
        yield STEP
        self.store("runner", "passed", 1)

    def wait(self) -> Steps:
        yield lambda: self.load("waiter", "passed") == 1


def test_a_death_happens_and_a_wait_without_end_is_found() -> None:
    explore(Baton)
    with pytest.raises(Violation, match="waits for ever: waiter"):
        explore(Baton, deaths=1)


class Rounds(World):
    """One makes as many rounds as are wanted when it begins; the other comes to want more."""

    def __init__(self, *, never: int) -> None:
        super().__init__(wanted=1, made=0)
        self.never = never
        self.add("runner", self.run())
        self.add("other", self.want_more())

    def run(self) -> Steps:
        yield STEP
        for _ in (0,) * self.number("runner", "wanted"):
            yield lambda: self.words["wanted"] == 2
            self.note("made", self.number("runner", "made") + 1)

    def want_more(self) -> Steps:
        yield STEP
        self.note("wanted", 2)

    def finish(self) -> None:
        super().finish()
        assert self.words["made"] != self.never, "so many were made"


@pytest.mark.parametrize("made", [1, 2])
def test_what_is_left_of_a_loop_is_part_of_the_state(made: int) -> None:
    with pytest.raises(Violation, match="so many were made"):
        explore(lambda: Rounds(never=made))
