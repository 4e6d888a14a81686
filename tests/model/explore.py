"""Every interleaving of a few processes over shared words, with a death at any step.

A process is a generator: what it does from one ``yield STEP`` to the next is one step. A step
reads or writes one shared word, as a rule; ``yield condition`` waits until the condition holds.
The explorer runs the processes in all orders (a state that was met before is not walked again),
lets the mortal ones die before each of their steps, and asks the model after each step whether
all is well, and where nothing moves any more, whether that may be the end.

Stores are buffered, as processors do: they become visible later, and in another order unless they
are released. A fence, and an exchange, make all earlier ones visible. Loads stay in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from types import GeneratorType
from typing import TypeAlias

Value: TypeAlias = int | str | tuple["Value", ...] | None
Condition: TypeAlias = Callable[[], bool]
Steps: TypeAlias = Generator[Condition | None, None, None]
STEP: Condition | None = None
Action: TypeAlias = tuple[str, str, str]
"""What happens next: step, flush or death; of which process; the word that is flushed."""

MOST_STATES = 100_000
"""A model that has more is too large to be checked in every run."""


class Violation(Exception):
    """The model does what it must not; the message has the way there."""


class World:
    """Shared words and the processes that use them. A model is a subclass.

    Args:
        words: the shared words and what they hold at first. What only the checks need (who is
            inside, what was seen) are words, too, written with `note`.
    """

    def __init__(self, **words: Value) -> None:
        self.words = words
        self.processes: dict[str, Steps] = {}
        self.mortal: set[str] = set()
        self.dead: set[str] = set()
        self._ended: set[str] = set()
        self._places: dict[str, object] = {}
        self._ready: dict[str, Condition | None] = {}
        self._stores: dict[str, list[tuple[str, Value, bool]]] = {}

    def add(self, name: str, steps: Steps, *, mortal: bool = False) -> None:
        """Add a process; it stands at its first ``yield``."""
        self.processes[name] = steps
        self._stores[name] = []
        self._ready[name] = next(steps)
        self._places[name] = None
        if mortal:
            self.mortal.add(name)

    # ---- what a step may do ----

    def load(self, who: str, word: str) -> Value:
        """Read a word: what this process stored last, or what is visible."""
        for stored, value, _ in reversed(self._stores[who]):
            if stored == word:
                return value
        return self.words[word]

    def number(self, who: str, word: str) -> int:
        """Read a word that holds a number."""
        value = self.load(who, word)
        assert isinstance(value, int)
        return value

    def store(self, who: str, word: str, value: Value, *, release: bool = False) -> None:
        """Write a word; with `release` not visible before all that was stored earlier."""
        assert word in self.words
        self._stores[who].append((word, value, release))

    def fence(self, who: str) -> None:
        """Make visible all that this process has stored."""
        for word, value, _ in self._stores[who]:
            self.words[word] = value
        self._stores[who].clear()

    def exchange(
        self, who: str, word: str, expected: Value, value: Value, *, release: bool = True
    ) -> bool:
        """Write the word if it holds what is expected, in one step; whether it did."""
        if release:
            self.fence(who)
        while any(stored == word for stored, _, _ in self._stores[who]):
            self._flush(who, word)
        if self.words[word] != expected:
            return False
        self.words[word] = value
        return True

    def note(self, word: str, value: Value) -> None:
        """Write a word for the checks: visible at once."""
        assert word in self.words
        self.words[word] = value

    # ---- what a model says ----

    def check(self) -> None:
        """What must hold in each state; AssertionError if it does not."""

    def finish(self) -> None:
        """What must hold where nothing moves. By default: whoever lives has come to its end."""
        stuck = [name for name in self.processes if name not in self.dead and not self.ended(name)]
        assert not stuck, f"waits for ever: {', '.join(stuck)}"

    def died(self, name: str) -> None:
        """What the kernel does when the process has died."""

    def ended(self, name: str) -> bool:
        """Whether the process has come to its end, alive."""
        return name in self._ended

    # ---- what the explorer does ----

    def actions(self, deaths: int) -> list[Action]:
        """All that can happen next; at most so many deaths in all."""
        found: list[Action] = []
        for name in self.processes:
            if name in self.dead:
                continue
            stores = self._stores[name]
            for index, (word, _, release) in enumerate(stores):
                if index == 0 or not (release or any(w == word for w, _, _ in stores[:index])):
                    found.append(("flush", name, word))
            if not self.ended(name):
                condition = self._ready[name]
                if condition is None or condition():
                    found.append(("step", name, ""))
                if name in self.mortal and len(self.dead) < deaths:
                    found.append(("death", name, ""))
        return found

    def do(self, action: Action) -> None:
        """Let one of `actions` happen."""
        what, name, word = action
        if what == "flush":
            self._flush(name, word)
            return
        self._places[name] = None
        if what == "step":
            try:
                self._ready[name] = next(self.processes[name])
            except StopIteration:
                self._ended.add(name)
        else:
            self.fence(name)  # a processor finishes its stores, whoever ordered them
            self.dead.add(name)
            self.processes[name].close()
            self.died(name)

    def _flush(self, who: str, word: str) -> None:
        stores = self._stores[who]
        index = next(i for i, (stored, _, _) in enumerate(stores) if stored == word)
        self.words[word] = stores.pop(index)[1]

    def key(self) -> object:
        """All that the future depends on."""
        for name, place in self._places.items():
            if place is None:  # it has moved
                self._places[name] = _place(self.processes[name])
        return (
            tuple(self.words.values()),
            tuple(tuple(stores) for stores in self._stores.values()),
            frozenset(self.dead),
            tuple(self._places.values()),
        )


def _place(steps: Steps) -> object:
    """Where a generator stands, and its local values; TypeError if they can not be compared."""
    places: list[object] = []
    inner: object = steps
    while isinstance(inner, GeneratorType) and inner.gi_frame is not None:
        frame = inner.gi_frame
        values = (item for item in frame.f_locals.items() if not isinstance(item[1], World))
        places.append((frame.f_code.co_firstlineno, frame.f_lasti, *values))
        inner = inner.gi_yieldfrom
    return tuple(places)


def _do(world: World, way: tuple[Action, ...]) -> None:
    """Take the last step of the way; a process may have assertions of its own."""
    try:
        world.do(way[-1])
    except AssertionError as error:
        raise _violation(error, way) from error


def _violation(error: AssertionError, way: tuple[Action, ...]) -> Violation:
    return Violation("\n".join([str(error), *(" ".join(filter(None, step)) for step in way)]))


def explore(build: Callable[[], World], deaths: int = 0) -> int:
    """Walk all interleavings with at most so many deaths.

    Returns the number of states. Raises Violation with the way to the first bad one.
    """
    seen: set[object] = set()
    # The shortest ways first: a generator has no copy, so most are walked from the start.
    waiting: deque[tuple[tuple[Action, ...], World | None]] = deque([((), None)])
    while waiting:
        way, world = waiting.popleft()
        if world is None:
            world = build()
            for action in way[:-1]:
                world.do(action)  # was done before, and went well
            if way:
                _do(world, way)
        if (key := world.key()) in seen:
            continue
        seen.add(key)
        if len(seen) > MOST_STATES:
            raise ValueError("the model is too large to be walked")
        actions = world.actions(deaths)
        try:
            world.check()
            if all(what == "death" for what, _, _ in actions):
                world.finish()
        except AssertionError as error:
            raise _violation(error, way) from error
        waiting.extend(((*way, action), None) for action in actions[1:])
        if actions:  # this world itself goes on
            way = (*way, actions[0])
            _do(world, way)
            waiting.append((way, world))
    return len(seen)
