"""Processes that do their parts of a piece of work at the same time, and are timed from inside.

Members are forked once and then told, as often as wanted, how many items to do. All of them are
ready before any of them begins. Orders and answers go through plain pipes, so that nothing that is
measured has a part in it.
"""

from __future__ import annotations

import gc
import json
import os
import select
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Protocol, runtime_checkable

MOST = 4096
"""Bytes that a pipe takes and gives as one piece; no message is longer."""

Part = Callable[[int], int]
"""Does so many items, and returns what can be checked: a sum, a count."""


DEAD = "a member of the crew has died"


class Member(Protocol):
    """A started process or thread."""

    def join(self) -> object:
        """Wait for its end."""


@runtime_checkable
class Endable(Member, Protocol):
    """A process."""

    def terminate(self) -> object:
        """Have it end at once."""


Start = Callable[[Callable[..., None], tuple[Any, ...]], Member]
"""Starts a process, or a thread, that calls a function with arguments."""


@dataclass(frozen=True)
class Done:
    """What a crew has done.

    Attributes:
        seconds: from the first member's begin to the last one's end.
        tallies: what the parts returned, in their order.
    """

    seconds: float
    tallies: list[int]


class Crew:
    """The members and their pipes.

    Args:
        start: starts one member.
        parts: what each of them does.
        forks: whether members are processes, which have descriptors of their own.
    """

    def __init__(self, start: Start, parts: Sequence[Part], *, forks: bool = True) -> None:
        self._members: list[Member] = []
        self._orders: list[int] = []
        self._answers: list[int] = []
        self._lent: list[int] = []
        self._broken = False
        for part in parts:
            orders, order = os.pipe()
            answers, answer = os.pipe()
            self._members.append(start(_serve, (part, orders, answer)))
            self._orders.append(order)
            self._answers.append(answers)
            self._lent += [orders, answer]
            if forks:  # then an end of a member is the end of its answers
                self._give_back()

    def run(self, n: int) -> Done:
        """Have each member do its part of `n` items.

        Raises:
            RuntimeError: a member failed, or is gone. The crew is of no use any more.
        """
        self._broken = True  # unless the end is reached
        self._tell_all(n)
        self._hear_all()
        self._tell_all("go")
        told = self._hear_all()
        self._broken = False
        begin = min(answer["begin"] for answer in told)
        end = max(answer["end"] for answer in told)
        return Done(end - begin, [answer["tally"] for answer in told])

    def close(self) -> None:
        """Send the members home, and wait until they are; those of a broken crew are ended."""
        if not self._broken:
            self._tell_all(None)
        for member in self._members:
            if self._broken and isinstance(member, Endable):
                member.terminate()
            if not self._broken or isinstance(member, Endable):
                member.join()
        self._give_back()
        for descriptor in self._orders + self._answers:
            os.close(descriptor)

    def _tell_all(self, what: object) -> None:
        for order in self._orders:
            try:
                _tell(order, what)
            except BrokenPipeError:
                raise RuntimeError(DEAD) from None

    def _hear_all(self) -> list[Any]:
        """An answer of each, in their order. Who fails is heard even if others never answer."""
        poll = select.poll()
        for descriptor in self._answers:
            poll.register(descriptor, select.POLLIN)
        heard: dict[int, Any] = {}
        while len(heard) < len(self._answers):
            for descriptor, _ in poll.poll():
                answer = _read(descriptor)
                if answer is None:
                    raise RuntimeError(DEAD)
                if "error" in answer:
                    raise RuntimeError(f"a member of the crew failed: {answer['error']}")
                heard[descriptor] = answer
                poll.unregister(descriptor)
        return [heard[descriptor] for descriptor in self._answers]

    def _give_back(self) -> None:
        for descriptor in self._lent:
            os.close(descriptor)
        self._lent.clear()


def settle() -> None:
    """Have no garbage collection come in between: the same for all."""
    gc.collect()
    gc.freeze()
    gc.disable()


def _serve(part: Part, orders: int, answer: int) -> None:
    """What a member does: parts, until it is sent home."""
    settle()
    while n := _read(orders):
        _tell(answer, {})
        _read(orders)
        try:
            begin = perf_counter()
            tally = part(n)
            end = perf_counter()
        except Exception as error:
            _tell(answer, {"error": f"{type(error).__name__}: {error}"[:200]})
            return
        _tell(answer, {"begin": begin, "end": end, "tally": tally})


def _tell(descriptor: int, what: object) -> None:
    message = json.dumps(what).encode()
    os.write(descriptor, message)


def _read(descriptor: int) -> Any:
    """The next message; None if there will be no more."""
    message = os.read(descriptor, MOST)
    return json.loads(message) if message else None
