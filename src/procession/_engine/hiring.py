"""On what terms a pool's workers are hired: how they are started, and what each is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol

from procession import _core
from procession._core import Channel
from procession._launch import learning, parcel
from procession._launch.methods import Child
from procession._launch.surroundings import Surroundings
from procession._worker import diary as diaries
from procession._worker.diary import Diary
from procession._worker.loop import Seat, attach, work


class Launch(Protocol):
    """Starts a worker process that runs a function, which returns the exit code."""

    def __call__(
        self,
        entry: Callable[[], int],
        /,
        *,
        known: Callable[[Any], object],
        environment: Mapping[str, str | None],
        held_back: Collection[int],
    ) -> object: ...


@dataclass(frozen=True, kw_only=True)
class Terms:
    """The same for all workers of a pool.

    Attributes:
        initializer, initargs: called once in each of them.
        finalizer: called without arguments in each, before it leaves in order.
        memory: bytes that all that is on its way in the family may have; None: as it is.
        max_tasks: after so many tasks a worker is replaced; None for never.
        max_memory: likewise when it has grown by so many bytes since it was ready.
        max_age: likewise after so many seconds.
        idle_timeout: with nothing to do for so many seconds, all workers but one leave; they are
            hired again when there is work. None for never.
        output: whether each line that they print says who printed it ("tagged").
        logs: the level from which on their log records reach the parent's loggers; None: none do.
        surroundings: in which they run.
        launch: starts a worker process that runs the given function.
    """

    initializer: Callable[..., object] | None = None
    initargs: tuple[Any, ...] = ()
    finalizer: Callable[[], object] | None = None
    memory: int | None = None
    max_tasks: int | None = None
    max_memory: int | None = None
    max_age: float | None = None
    idle_timeout: float | None = None
    output: Literal["plain", "tagged"] = "plain"
    logs: int | None = None
    surroundings: Surroundings
    launch: Launch

    def agree_on_memory(self) -> Callable[[], object]:
        """The budget is theirs from now on; what is returned makes it what it was before."""
        if self.memory is None:
            return lambda: None
        before = _core.memory_budget()
        _core.memory_budget(self.memory)
        return partial(self._return_to, before)

    def _return_to(self, budget: int) -> None:
        if _core.memory_budget() == self.memory:  # and nobody else's by now
            _core.memory_budget(budget)

    def starter(
        self, channel: Channel, diary: Diary, workers: Callable[[], int], mask: frozenset[int]
    ) -> Callable[[int, Callable[[Child], object]], object]:
        """What starts a worker for a seat.

        Args:
            channel, diary: of the pool.
            workers: says how many are wanted now.
            mask: of signals; in force in the worker.
        """
        generations: Counter[int] = Counter()

        def start(seat: int, known: Callable[[Child], object]) -> None:
            share = workers()
            settle = partial(self.surroundings.apply, seat, share, generation=generations[seat])
            about = Seat(
                channel=channel,
                number=seat,
                initializer=self.initializer,
                initargs=self.initargs,
                finalizer=self.finalizer,
                max_tasks=self.max_tasks,
                max_memory=self.max_memory,
                output=self.output,
                logs=self.logs,
                diary=diary,
                signal_mask=mask,
                settle=settle,
                imported=learning.tell,
            )
            environment = self.surroundings.environment(seat, share)
            self.launch(partial(work, about), known=known, environment=environment, held_back=mask)
            generations[seat] += 1

        return start


def _pack_channel(channel: Channel) -> tuple[Any, ...]:
    block, bell = channel.handle()
    return attach, (block, parcel.carry(bell))


def _pack_diary(diary: Diary) -> tuple[Any, ...]:
    return diaries.attach, (parcel.carry(diary.fileno()),)


# For the workers that are no copies of their parent.
parcel.register(Channel, _pack_channel)
parcel.register(Diary, _pack_diary)
