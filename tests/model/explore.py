"""Every interleaving of a few processes over shared words, with a death at any step.

A process is a generator: what it does from one ``yield STEP`` to the next is one step. A step
reads or writes one shared word, as a rule; ``yield condition`` waits until the condition holds.
The explorer runs the processes in all orders (a state that was met before is not walked again),
lets the mortal ones die before each of their steps, and asks the model in each state whether all is
well, and where nothing moves any more, whether that may be the end.

Nothing but words and local values may change in a model: who stands at one place, with the same
local values, and finds the same words, does the same. So a step that was made before is not made
again; and of a process there are several generators, none of which can be copied, and whichever
stands where the next step begins makes it.

Stores are buffered, as processors do: they become visible later, and in another order unless they
are released. A fence, and an exchange, make all earlier ones visible. Loads stay in order.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable, Generator
from types import GeneratorType
from typing import NamedTuple, TypeAlias

Value: TypeAlias = int | str | tuple["Value", ...] | None
Condition: TypeAlias = Callable[[], bool]
Steps: TypeAlias = Generator[Condition | None, None, None]
STEP: Condition | None = None
Action: TypeAlias = tuple[str, str, str]
"""What happens next: step, flush or death; of which process; the word that is flushed."""

Store: TypeAlias = tuple[str, Value, bool]
"""One that is not visible yet: word, value, whether it is released."""

Ready: TypeAlias = tuple[Steps, Condition | None]
"""A generator, and what it waits for."""

MOST_STATES = 100_000
"""A model that has more is too large to be checked in every run."""

GONE = -1
"""The place of a process that has come to its end, or died."""


class Memory(NamedTuple):
    """All that a step depends on, but for the place of who makes it."""

    words: tuple[Value, ...]
    stores: tuple[tuple[Store, ...], ...]
    """Of each process."""
    dead: frozenset[str]
    over: frozenset[str]
    """Those that have come to their end."""


State: TypeAlias = tuple[int, tuple[int, ...]]
"""All that the future depends on: the number of a memory, each process's place."""


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
        self.processes: dict[str, Ready] = {}
        self.mortal: set[str] = set()
        self.dead: frozenset[str] = frozenset()
        self.over: frozenset[str] = frozenset()
        self.stores: dict[str, tuple[Store, ...]] = {}

    def add(self, name: str, steps: Steps, *, mortal: bool = False) -> None:
        """Add a process; it stands at its first ``yield``."""
        self.processes[name] = steps, next(steps)
        self.stores[name] = ()
        if mortal:
            self.mortal.add(name)

    # ---- what a step may do ----

    def load(self, who: str, word: str) -> Value:
        """Read a word: what this process stored last, or what is visible."""
        if self.stores[who]:
            for stored, value, _ in reversed(self.stores[who]):
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
        self.stores[who] += ((word, value, release),)

    def fence(self, who: str) -> None:
        """Make visible all that this process has stored."""
        for word, value, _ in self.stores[who]:
            self.words[word] = value
        self.stores[who] = ()

    def exchange(
        self, who: str, word: str, expected: Value, value: Value, *, release: bool = True
    ) -> bool:
        """Write the word if it holds what is expected, in one step; whether it did."""
        if release:
            self.fence(who)
        while any(stored == word for stored, _, _ in self.stores[who]):
            self.flush(who, word)
        if self.words[word] != expected:
            return False
        self.words[word] = value
        return True

    def note(self, word: str, value: Value) -> None:
        """Write a word for the checks: visible at once."""
        assert word in self.words
        self.words[word] = value

    def die(self, name: str) -> None:
        """Let a process die here and now."""
        self.fence(name)  # a processor finishes its stores, whoever ordered them
        self.dead |= {name}
        self.died(name)

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
        return name in self.over

    # ---- what the explorer does ----

    def restore(self, memory: Memory) -> None:
        """Go on from there."""
        self.words = dict(zip(self.words, memory.words, strict=True))
        self.stores = dict(zip(self.stores, memory.stores, strict=True))
        self.dead, self.over = memory.dead, memory.over

    def snapshot(self) -> Memory:
        """Where it is."""
        words, stores = tuple(self.words.values()), tuple(self.stores.values())
        return Memory(words, stores, self.dead, self.over)

    def flushes(self, who: str) -> list[str]:
        """The words of this process of which a store may become visible next."""
        found = []
        stores = self.stores[who]
        for index, (word, _, release) in enumerate(stores):
            if index == 0 or not (release or any(w == word for w, _, _ in stores[:index])):
                found.append(word)
        return found

    def flush(self, who: str, word: str) -> None:
        """Make the first store of the word visible."""
        stores = self.stores[who]
        index = next(i for i, (stored, _, _) in enumerate(stores) if stored == word)
        self.words[word] = stores[index][1]
        self.stores[who] = stores[:index] + stores[index + 1 :]


def _place(steps: Steps) -> object:
    """Where a generator stands, and its local values; TypeError if they can not be compared."""
    places: list[object] = []
    inner: object = steps
    while isinstance(inner, GeneratorType) and inner.gi_frame is not None:
        frame = inner.gi_frame
        values = [item for item in frame.f_locals.items() if not isinstance(item[1], World)]
        # Loops have their iterators elsewhere: what is left of them is as good as a local value.
        loops = [one.__reduce__() for one in gc.get_referents(inner) if _is_iterator(one)]
        line, at = frame.f_code.co_firstlineno, frame.f_lasti
        places.append((line, at, *sorted(values, key=_name), *loops))
        inner = inner.gi_yieldfrom
    return tuple(places)


def _name(item: tuple[str, object]) -> str:
    return item[0]


def _is_iterator(value: object) -> bool:
    return hasattr(value, "__next__") and not isinstance(value, GeneratorType)


class _Process:
    """The generators that there are of a process, by the places where they stand.

    A place is a number; each but the first is reached by a step from another one.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.steps: dict[tuple[int, int], tuple[int, int] | None] = {}
        """Those made: by memory and place, the memory and the place behind. None: it waits."""
        self.origins: list[tuple[int, int] | None] = []
        """From which memory and place another one is reached; None where it begins."""
        self._numbers: dict[object, int] = {(): GONE}
        self._ready: list[list[Ready]] = []

    def keep(self, ready: Ready, origin: tuple[int, int] | None) -> int:
        """Keep a generator that has made a step from its origin; the place where it stands."""
        place = _place(ready[0])
        number = self._numbers.get(place)
        if number is None:
            number = self._numbers[place] = len(self.origins)
            self.origins.append(origin)
            self._ready.append([])
        if number != GONE:
            self._ready[number].append(ready)
        return number

    def keep_at(self, place: int, ready: Ready) -> None:
        """Keep one that has stayed where it was."""
        self._ready[place].append(ready)

    def take(self, place: int) -> Ready | None:
        """Have one that stands there, if there is one."""
        return self._ready[place].pop() if self._ready[place] else None


class _Walk:
    """Through all states of a model, the nearest ones first.

    There is one world, which is put into one state after the other. Those that are built for more
    generators are made the same one.
    """

    def __init__(self, build: Callable[[], World], deaths: int) -> None:
        self._build = build
        self._deaths = deaths
        self._world = world = build()
        self._processes = [_Process(name) for name in world.processes]
        self._memories: list[Memory] = []
        self._numbers: dict[Memory, int] = {}
        self._events: dict[int, list[tuple[Action, int]]] = {}
        self._origins: dict[State, tuple[State, Action] | None] = {}
        self._waiting: deque[State] = deque()
        self._action: Action | None = None  # what is happening, if anything is

    def go(self) -> int:
        """Visit all of them; how many there are."""
        first = self._world.snapshot()
        places = [
            GONE if process.name in first.dead else place
            for process, place in zip(self._processes, self._begin(self._world), strict=True)
        ]
        self._memories.append(first)
        self._numbers[first] = 0
        self._add((0, tuple(places)), None)
        while self._waiting:
            state = self._waiting.popleft()
            try:
                self._visit(state)
            except AssertionError as error:
                raise Violation("\n".join([str(error), *self._way(state)])) from error
        return len(self._origins)

    def _add(self, state: State, origin: tuple[State, Action] | None) -> None:
        if state not in self._origins:
            self._origins[state] = origin
            self._waiting.append(state)
            if len(self._origins) > MOST_STATES:
                raise ValueError("the model is too large to be walked")

    def _way(self, state: State) -> list[str]:
        """What has happened until now."""
        way = [self._action] if self._action else []
        origin = self._origins[state]
        while origin is not None:
            state, action = origin
            way.append(action)
            origin = self._origins[state]
        return [" ".join(filter(None, action)) for action in reversed(way)]

    def _visit(self, state: State) -> None:
        memory, places = state
        can_move = False
        for action, reached in self._events_at(memory):
            can_move |= action[0] != "death"
            self._reach(state, action, reached, places)
        for index, process in enumerate(self._processes):
            if places[index] == GONE:
                continue
            step = self._step(process, memory, places[index])
            if step is not None:
                can_move = True
                reached, place = step
                behind = (*places[:index], place, *places[index + 1 :])
                self._reach(state, ("step", process.name, ""), reached, behind)
        if not can_move:
            self._world.restore(self._memories[memory])
            self._world.finish()

    def _reach(self, state: State, action: Action, memory: int, places: tuple[int, ...]) -> None:
        """Visit the state that the action leads to, too."""
        dead = self._memories[memory].dead
        if dead is not self._memories[state[0]].dead:
            names = self._world.processes
            places = tuple([GONE if n in dead else p for n, p in zip(names, places, strict=True)])
        self._add((memory, places), (state, action))

    # ---- what happens, once for each memory ----

    def _events_at(self, number: int) -> list[tuple[Action, int]]:
        """What may happen there beside steps, and to which memory it leads."""
        events = self._events.get(number)
        if events is None:
            events = self._events[number] = []
            world, memory = self._world, self._memories[number]
            world.restore(memory)
            alive = [name for name in world.processes if name not in memory.dead]
            actions = [("flush", name, word) for name in alive for word in world.flushes(name)]
            if len(memory.dead) < self._deaths:
                mortal = [name for name in alive if name in world.mortal - memory.over]
                actions += [("death", name, "") for name in mortal]
            for action in actions:
                world.restore(memory)
                self._action = what, name, word = action
                if what == "flush":
                    world.flush(name, word)
                else:
                    world.die(name)
                events.append((action, self._done()))
        return events

    def _step(self, process: _Process, memory: int, place: int) -> tuple[int, int] | None:
        """Where the next step leads to, memory and place; None as long as it waits."""
        origin = memory, place
        if origin not in process.steps:
            steps, condition = ready = self._standing(process, place)
            self._world.restore(self._memories[memory])
            if condition is not None and not condition():
                process.keep_at(place, ready)
                process.steps[origin] = None
            else:
                self._action = "step", process.name, ""
                place = self._next(process, steps, origin)
                process.steps[origin] = self._done(), place
        return process.steps[origin]

    def _next(self, process: _Process, steps: Steps, origin: tuple[int, int]) -> int:
        """Make a step, with the world as it is there; the place that it leads to."""
        try:
            return process.keep((steps, next(steps)), origin)
        except StopIteration:
            self._world.over |= {process.name}
            return GONE

    def _done(self) -> int:
        """The number of the memory that an action has led to."""
        memory = self._world.snapshot()
        number = self._numbers.get(memory)
        if number is None:
            self._world.check()
            number = self._numbers[memory] = len(self._memories)
            self._memories.append(memory)
        self._action = None
        return number

    def _standing(self, process: _Process, place: int) -> Ready:
        """A generator at that place: one that is there, or is sent there."""
        ready = process.take(place)
        if ready is not None:
            return ready
        origin = process.origins[place]
        if origin is None:
            world = self._build()
            self._begin(world)
            world.__dict__ = self._world.__dict__
        else:
            steps, _ = self._standing(process, origin[1])
            self._world.restore(self._memories[origin[0]])
            if self._next(process, steps, origin) != place:
                raise RuntimeError(f"{process.name} depends on more than words and local values")
        return self._standing(process, place)

    def _begin(self, world: World) -> list[int]:
        """Keep a world's generators, where they begin; these places."""
        return [process.keep(world.processes[process.name], None) for process in self._processes]


def explore(build: Callable[[], World], deaths: int = 0) -> int:
    """Walk all interleavings with at most so many deaths.

    Returns the number of states. Raises Violation with the way to the first bad one.
    """
    return _Walk(build, deaths).go()
