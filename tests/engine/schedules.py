"""What the workers of a fake engine may do next, one thing after the other, as hypothesis draws it.

Whatever they do, a schedule checks what must not be: an item that runs twice without being allowed
to, one that runs beside itself. And it knows what each item's outcome has to be.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from hypothesis import strategies as st

from procession._codec import messages
from procession._engine.options import Options
from procession._engine.pieces import Piece
from procession._engine.policy import Failure, Fate, History, Verdict, after_failure
from procession._engine.settling import DEATHS_WHILE_LOADING
from procession.errors.memory import ArenaFull
from procession.errors.pool import TaskTimeout, WorkerDied
from tests.engine.engines import FakeEngine

choices = st.lists(st.integers(0, 255), max_size=120)
"""What happens; where they end, all goes well from there on."""

TROUBLES = ("raise", "die", "late", "load", "lose", "take back", "by value")


def value_of(item: int) -> Any:
    """What an item's function returns: each way that values travel."""
    if item % 13 == 12:
        return bytes([item]) * 70_000  # apart
    return [item, str(item), float(item), (item, "x" * (item % 3 * 200)), -(10**item)][item % 5]


class Schedule:
    """The workers of an engine, at the items ``range(n)`` of one call.

    Args:
        choices: what happens.
        options: those of the call.
        troubles: which of ``TROUBLES`` may happen.

    Attributes:
        failures: how each item's runs have failed so far.
        done: the items whose function has returned.
        running: those that are at it.
        unloadable: those that ended with workers that could not even load them.
        steps: how many things have happened.
    """

    def __init__(
        self,
        engine: FakeEngine,
        choices: list[int],
        options: Options,
        troubles: tuple[str, ...] = TROUBLES,
    ) -> None:
        self.engine = engine
        self.failures: dict[int, list[Failure]] = {}
        self.done: set[int] = set()
        self.running: set[int] = set()
        self.unloadable: set[int] = set()
        self.steps = 0
        self._choices = choices[::-1]
        self._options = options
        self._troubles = troubles
        self._loads: dict[int, int] = {}
        self._lacking: set[int] = set()  # records whose arguments were asked for by value
        engine.channel.when_waiting = self.step

    @property
    def begun(self) -> set[int]:
        """The items that were begun at all."""
        return self.done | self.running | self.failures.keys()

    @property
    def is_over(self) -> bool:
        """Whether the workers have nothing to do."""
        channel = self.engine.channel
        waiting = self.engine.attendant.by_value or channel.results
        return not (channel.claims or channel.ring or waiting)

    def step(self) -> None:
        """Let one thing happen."""
        possible = self._possible()
        assert possible, "the call waits for something that never comes"
        choice = self._choices.pop() if self._choices else 0
        self.steps += 1
        possible[choice % len(possible)]()

    def run_out(self) -> None:
        """Let all things happen that are left to happen."""
        while not self.is_over:
            self.step()
        self.engine.collect()

    def _possible(self) -> list[Callable[[], object]]:
        engine, channel = self.engine, self.engine.channel
        well: list[Callable[[], object]] = []
        badly: list[Callable[[], object]] = []
        if channel.results:
            well.append(engine.collect)
        if engine.attendant.by_value:
            well.append(engine.attendant.serve)
        for seat in range(engine.workers):
            claim = channel.claims.get(seat)
            if claim is None:
                if channel.ring:
                    well.append(partial(channel.claim, seat))
                    if "lose" in self._troubles:
                        badly.append(partial(self._lose, seat))
            else:
                self._add_for_claim(seat, claim, well, badly)
        return well + badly

    def _add_for_claim(self, seat: int, claim: Any, well: list[Any], badly: list[Any]) -> None:
        channel, troubles = self.engine.channel, self._troubles
        if claim.answered:
            well.append(lambda: channel.claims.pop(seat))
            badly.append(lambda: self.engine.die(seat))
            return
        if claim.begun > claim.done:
            well.append(lambda: self._return(seat))
            if "raise" in troubles:
                badly.append(lambda: self._raise(seat))
            if "die" in troubles:
                badly.append(lambda: self._end(seat, Failure.DIED, Fate.DIED))
            if "late" in troubles:
                badly.append(lambda: self._end(seat, Failure.TIMED_OUT, Fate.TIMED_OUT))
        elif claim.begun < claim.end:
            well.append(lambda: self._begin(seat))
            if "by value" in troubles and claim.begun == claim.first:
                badly.append(lambda: channel.answer_whole(seat, messages.BY_VALUE))
                if claim.held is None and claim.number not in self._lacking:
                    badly.append(lambda: self._lack(seat))
        else:
            well.append(lambda: channel.answer(seat))
            badly.append(lambda: channel.answer(seat, leave=False))
        if claim.begun == claim.done and (claim.begun > claim.first or "load" in troubles):
            badly.append(lambda: self._die_between(seat))
        if claim.area:
            badly.append(lambda: channel.flush(seat))
        if "take back" in troubles and claim.end - claim.begun > 0:
            badly.append(lambda: self._take_back(seat, 0))
            badly.append(lambda: self._take_back(seat, (claim.end - claim.begun) // 2))

    # ---- what happens

    def _begin(self, seat: int) -> None:
        item = self.engine.channel.begin(seat)
        assert item not in self.running
        assert item not in self.done
        assert item not in self.unloadable
        failed = self.failures.get(item)
        if failed:
            assert self._verdict(failed) is Verdict.RETRY
        self.running.add(item)

    def _verdict(self, failed: list[Failure]) -> Verdict:
        history = History(len(failed), failed.count(Failure.DIED))
        return after_failure(failed[-1], history, self._options).verdict

    def _item(self, seat: int) -> int:
        claim = self.engine.channel.claims[seat]
        item = int(claim.items[claim.begun - 1])
        self.running.remove(item)
        return item

    def _return(self, seat: int) -> None:
        item = self._item(seat)
        self.done.add(item)
        self.engine.channel.finish(seat, value_of(item))

    def _raise(self, seat: int) -> None:
        item = self._item(seat)
        self.failures.setdefault(item, []).append(Failure.RAISED)
        self.engine.channel.finish(seat, ValueError(item))

    def _end(self, seat: int, failure: Failure, fate: Fate) -> None:
        self.failures.setdefault(self._item(seat), []).append(failure)
        self.engine.die(seat, fate)

    def _lack(self, seat: int) -> None:
        """Its main module has not what the items are made of."""
        self._lacking.add(self.engine.channel.claims[seat].number)
        self.engine.channel.answer_whole(seat, messages.ARGUMENTS_BY_VALUE)

    def _die_between(self, seat: int) -> None:
        """It dies while it loads the items, or between two of them."""
        claim = self.engine.channel.claims[seat]
        self.engine.collect()
        piece = self.engine.open.get(claim.number)
        if isinstance(piece, Piece) and piece.first == claim.begun < piece.end:
            self._loads[piece.start] = deaths = self._loads.get(piece.start, 0) + 1
            if deaths >= DEATHS_WHILE_LOADING:
                self.unloadable.update(range(piece.start + piece.first, piece.start + piece.end))
        self.engine.die(seat)

    def _lose(self, seat: int) -> None:
        """It dies before it has begun anything at all."""
        self.engine.channel.claim(seat, started=False)
        self.engine.die(seat)

    def _take_back(self, seat: int, keep: int) -> None:
        engine = self.engine
        piece = engine.open.get(engine.channel.claims[seat].number)
        if isinstance(piece, Piece):
            with engine.lock:
                engine.settler.take_back(seat, piece, keep)

    # ---- what has to come of it

    def is_right(self, item: int, success: bool, value: Any) -> bool:
        """Whether this is what an item's outcome has to be."""
        if item in self.done:
            return success and value == value_of(item) and type(value) is type(value_of(item))
        if success:
            return False
        if self.engine.channel.arena.is_too_heavy(item):
            return isinstance(value, ArenaFull) and item not in self.begun
        if item in self.unloadable:
            return isinstance(value, WorkerDied) and value.item == item and value.quarantined
        failed = self.failures.get(item)
        if not failed or self._verdict(failed) is Verdict.RETRY:
            return False
        if failed[-1] is Failure.RAISED:
            return type(value) is ValueError and value.args == (item,)
        if failed[-1] is Failure.TIMED_OUT:
            return type(value) is TaskTimeout and value.item == item
        is_death = type(value) is WorkerDied and value.item == item
        return is_death and value.attempts == len(failed)
