"""On what terms a pool's workers are hired: how they are started, and what each is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from procession._core import Channel
from procession._launch import learning, parcel
from procession._launch.methods import Child
from procession._launch.surroundings import Surroundings
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


@dataclass(frozen=True)
class Terms:
    """The same for all workers of a pool.

    Attributes:
        initializer, initargs: called once in each of them.
        max_tasks: after so many tasks a worker is replaced; None for never.
        surroundings: in which they run.
        launch: starts a worker process that runs the given function.
    """

    initializer: Callable[..., object] | None
    initargs: tuple[Any, ...]
    max_tasks: int | None
    surroundings: Surroundings
    launch: Launch

    def starter(
        self, channel: Channel, workers: int, mask: frozenset[int]
    ) -> Callable[[int, Callable[[Child], object]], object]:
        """What starts a worker for a seat, of `workers`; in the worker, `mask` is in force."""
        generations: Counter[int] = Counter()

        def start(seat: int, known: Callable[[Child], object]) -> None:
            about = Seat(
                channel,
                seat,
                self.initializer,
                self.initargs,
                self.max_tasks,
                mask,
                partial(self.surroundings.apply, seat, workers, generation=generations[seat]),
                learning.tell,
            )
            environment = self.surroundings.environment(seat, workers)
            self.launch(partial(work, about), known=known, environment=environment, held_back=mask)
            generations[seat] += 1

        return start


def _pack_channel(channel: Channel) -> tuple[Any, ...]:
    block, bell = channel.handle()
    return attach, (block, parcel.carry(bell))


# For the workers that are no copies of their parent.
parcel.register(Channel, _pack_channel)
