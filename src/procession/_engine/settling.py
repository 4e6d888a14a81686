"""What becomes of tasks that did not go well: the engine's cold path.

All of it runs under the engine's lock and runs no code of the user's. What is to become of a task
is the policy's to say; here it is done.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from procession._codec import messages
from procession._engine.entries import (
    CANCELLED,
    DEATH,
    FAILURE,
    Answer,
    Death,
    Record,
    Task,
    death_error,
    failure_of,
)
from procession._engine.pieces import Piece
from procession._engine.policy import (
    Ended,
    Failure,
    Fate,
    Held,
    History,
    PoolState,
    Ruling,
    Verdict,
    after_failure,
)

if TYPE_CHECKING:
    from procession._engine.engine import Engine
    from procession._engine.maps import MapJob

DEATHS_WHILE_LOADING = 3
"""Workers that may die while they unpickle the same items, before it is the items' fault."""

LOADING = -1
"""Stands for an item: all that were pickled together."""


class Remains(NamedTuple):
    """What a dead worker held, as the core tells it.

    Attributes:
        started: whether the worker's Python had it.
        begun: the items before this one were begun.
        done: the outcomes of the items before this one are known.
        kept_from: the first item whose outcome is in ``outcomes``.
    """

    number: int
    started: bool
    begun: int
    end: int
    done: int
    kept_from: int
    outcomes: bytes


class _Trial(NamedTuple):
    """A failure that was judged: what made it known, and what was said."""

    history: History
    evidence: object
    ruling: Ruling


_NONE: dict[int, _Trial] = {}


class Settler:
    """Buries, tries again, takes back, cancels; for one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._trials: WeakKeyDictionary[object, dict[int, _Trial]] = WeakKeyDictionary()

    # ---- failures

    def _judge(
        self, record: Record, item: int, failure: Failure, evidence: object
    ) -> tuple[History, Ruling, bool]:
        """What the policy says; and whether it was asked about this very failure before."""
        owner, place = self._key(record, item)
        trial = self._trials.get(owner, _NONE).get(place)
        if trial is not None and trial.evidence is evidence:
            return trial.history, trial.ruling, True
        runs, deaths = trial.history if trial is not None else (0, 0)
        history = History(runs + 1, deaths + (failure is Failure.DIED))
        ruling = after_failure(failure, history, record.options)
        self._trials.setdefault(owner, {})[place] = _Trial(history, evidence, ruling)
        return history, ruling, False

    def _key(self, record: Record, item: int) -> tuple[object, int]:
        if isinstance(record, Piece):
            return record.job, record.start + item if item >= 0 else LOADING - record.start
        return record, item

    def forget(self, record: Record, item: int = 0) -> None:
        """A task has its outcome: what it went through does not matter any more."""
        if self._trials:
            owner, place = self._key(record, item)
            self._trials.get(owner, _NONE).pop(place, None)

    def may_run_again(
        self, record: Record, item: int, failure: Failure, evidence: object
    ) -> tuple[bool, bool]:
        """Whether an item is to be run again after it has failed; and whether that was said
        before, of this very failure."""
        _, ruling, is_known = self._judge(record, item, failure, evidence)
        return ruling.verdict is Verdict.RETRY, is_known

    def is_tried_again(self, task: Task, item: int, failure: Failure, evidence: object) -> bool:
        """Whether a task is run again after it has failed; if so, it is on its way."""
        engine = self._engine
        _, ruling, is_known = self._judge(task, item, failure, evidence)
        if ruling.verdict is not Verdict.RETRY:
            return False
        if not (is_known and task.number in engine.open):
            engine.send_again(task)
        return True

    # ---- a worker has ended

    def bury(self, seat: int, ended: Ended) -> Held:
        """Settle what a dead worker held; all that it published is collected before."""
        engine = self._engine
        remains = engine.channel.bury(seat)
        if remains is None:
            return Held.NOTHING
        return self._settle(Remains(*remains), ended)

    def _settle(self, remains: Remains, ended: Ended) -> Held:
        engine = self._engine
        record = engine.open.pop(remains.number, None)
        if record is None:  # answered before it died, or nobody wants it
            return Held.NOTHING
        held = Held.STARTED if remains.started else Held.UNSTARTED
        if engine.state is PoolState.BROKEN or engine.state is PoolState.TERMINATING:
            engine.answer(record, (FAILURE, engine.end_error(), 0))
        elif not remains.started:
            engine.send_again(record)
        elif isinstance(record, Piece):
            self._settle_piece(record, remains, ended)
        else:
            self._settle_task(record, ended)
        return held

    def _settle_task(self, record: Record, ended: Ended) -> None:
        failure = failure_of(ended.fate)
        history, ruling, _ = self._judge(record, 0, failure, ended)
        if ruling.verdict is Verdict.RETRY:
            self._engine.send_again(record)
            return
        self._engine.answer(record, self._death(record, 0, ended, history, ruling))
        self.forget(record)

    def _settle_piece(self, piece: Piece, remains: Remains, ended: Ended) -> None:
        job = piece.job
        if remains.outcomes and remains.kept_from >= piece.reached:
            kind = messages.OUTCOMES | messages.PART
            job.arrived(piece, kind, remains.outcomes, 0, remains.kept_from, remains.done)
        at = max(remains.begun, piece.reached)
        if remains.begun > piece.reached:
            self._settle_item(piece, remains.begun - 1, ended)
        elif piece.first == at < piece.end and not self._may_load_again(piece, ended):
            return
        if at < piece.end and not job.is_closed:
            job.send_part(piece, at, piece.end)
        job.done_with(piece)

    def _settle_item(self, piece: Piece, item: int, ended: Ended) -> None:
        """The item at which a worker ended."""
        history, ruling, _ = self._judge(piece, item, failure_of(ended.fate), ended)
        if ruling.verdict is Verdict.RETRY and not piece.job.is_closed:
            piece.job.retried += 1
            piece.job.send_part(piece, item, item + 1)
            piece.reached = item + 1
            return
        answer = self._death(piece, item, ended, history, ruling)
        piece.job.lose(piece, item, item + 1, answer)
        self.forget(piece, item)

    def _may_load_again(self, piece: Piece, ended: Ended) -> bool:
        """A worker ended before any item was begun. Once is an accident; but it may be what the
        items are made of that kills."""
        history, _, _ = self._judge(piece, LOADING, Failure.DIED, ended)
        if history.deaths < DEATHS_WHILE_LOADING:
            return True
        ruling = Ruling(Verdict.FAIL, quarantined=True)
        answer = self._death(piece, piece.reached, ended, history, ruling)
        piece.job.lose(piece, piece.reached, piece.end, answer)
        piece.job.done_with(piece)
        return False

    def _death(
        self, record: Record, item: int, ended: Ended, history: History, ruling: Ruling
    ) -> Answer:
        timeout = record.options.timeout if ended.fate is Fate.TIMED_OUT else None
        breaks = ruling.verdict is Verdict.BREAK
        death = Death(ended, item, history.runs, ruling.quarantined, timeout, breaks)
        if breaks:
            self._engine.break_pool(death_error(death, *record.describe(item)))
        return DEATH, death, 0

    # ---- the end of the pool

    def fail_all(self) -> None:
        """The pool is terminating or broken: whatever has no answer gets an error."""
        engine = self._engine
        with engine.lock:
            engine.collect()
            records = [*engine.attendant.stop(), *engine.open.values(), *engine.feeder.records]
            for record in records:
                engine.answer(record, (FAILURE, engine.end_error(), 0))
                engine.open.pop(record.number, None)
            engine.feeder.records.clear()
            for job in list(engine.feeder.jobs):
                job.abandon(engine.end_error())
            for stream in list(engine.streams):
                stream.abandon(engine.end_error())
            engine.feeder.jobs.clear()
            engine.streams.clear()
            self._trials.clear()

    def fail_latecomer(self, entry: Task | MapJob) -> None:
        """It came so late that not even the end of the pool saw it."""
        engine = self._engine
        with engine.lock:
            self.fail_all()
            if not isinstance(entry, Task):
                entry.abandon(engine.end_error())
            elif entry.answer is None:
                entry.answer = (FAILURE, engine.end_error(), 0)

    # ---- nobody wants it any more

    def cancel(self, task: Task) -> bool:
        """Take a task back, out of its worker if need be; False if it has its outcome already."""
        engine = self._engine
        engine.collect()
        number = task.number
        if task.answer is not None:
            return False
        if task in engine.feeder.records:
            engine.feeder.records.remove(task)
        elif number not in engine.open:
            return False  # answered; its callback is about to run
        elif not self._is_withdrawn(task) and not self._is_killed(number):
            engine.collect()
            return False
        engine.open.pop(number, None)
        self.forget(task)
        engine.answer(task, (CANCELLED, None, 0))
        return True

    def cancel_waiting(self) -> None:
        """Cancel the tasks, and what is left of calls, but for what workers are at.

        That is also what they are about to take: as many as there are workers.
        """
        engine = self._engine
        engine.collect()
        for stream in list(engine.streams):
            stream.abandon(CancelledError())
        for job in list(engine.feeder.jobs):
            job.abandon(CancelledError())
        records = list(engine.feeder.records)
        engine.feeder.records.clear()
        waiting = sorted(engine.open)[engine.workers :]
        if waiting and not engine.is_finished:
            revoked = engine.channel.revoke(set(waiting))
            records += [engine.open.pop(number) for number in sorted(revoked)]
        for record in records:
            self.forget(record)
            engine.answer(record, (CANCELLED, None, 0))

    def _is_withdrawn(self, task: Task) -> bool:
        """Whether it was still in the ring.

        It may have been sent without its position being noted yet, or sent again: so whoever is
        not there is looked for.
        """
        channel, number = self._engine.channel, task.number
        position = getattr(task, "position", 0)
        return channel.revoke_at(number, position) or number in channel.revoke({number})

    def _is_killed(self, number: int) -> bool:
        """It has left the ring: then it is in a claim, or answered."""
        engine = self._engine
        for seat, claimed, *_ in engine.channel.seats():
            if claimed == number:
                return engine.supervisor.kill_task(seat, number, None, Fate.CANCELLED)
        return False

    def withdraw(self, pieces: Iterable[Piece]) -> None:
        """A call was given up: what was not begun of it is not run. What runs is left alone."""
        engine = self._engine
        numbers = {piece.number for piece in pieces}
        if not numbers or engine.is_finished:
            return
        for record in [one for one in engine.feeder.records if one.number in numbers]:
            engine.feeder.records.remove(record)
            self._drop(record)
        for number in engine.channel.revoke(numbers):
            record_or_none = engine.open.pop(number, None)
            if record_or_none is not None:
                self._drop(record_or_none)
        for seat, number, *_ in engine.channel.seats():
            if number in numbers:
                taken = engine.channel.take_back(seat, number, 0)
                running = engine.open.get(number)
                if taken is not None and isinstance(running, Piece):
                    running.end = taken[0]

    def _drop(self, record: Record) -> None:
        assert isinstance(record, Piece)
        record.job.done_with(record)

    def take_back(self, seat: int, piece: Piece, keep: int) -> None:
        """Give what a worker has not begun to others, but for `keep` items."""
        taken: Any = self._engine.channel.take_back(seat, piece.number, keep)
        if taken is not None:
            first, end = taken
            piece.end = first
            piece.job.send_part(piece, first, end)
