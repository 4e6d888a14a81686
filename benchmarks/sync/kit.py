"""What the rivals of synchronization have to offer: locks and the like."""

from __future__ import annotations

from typing import Any, ClassVar

from benchmarks.contract import Rival
from benchmarks.crew import Crew, settle


class KitRival(Rival):
    """A module or context with ``Lock``, ``Event`` and so on under their usual names.

    Args:
        kit: that module or context.

    Attributes:
        meeting: two partners and their number, once they are needed.
    """

    forks: ClassVar[bool] = True
    """Whether its partners are processes."""

    def __init__(self, kit: Any) -> None:
        self.kit = kit
        self.meeting: tuple[Crew, memoryview] | None = None
        settle()

    def start(self, function: Any, arguments: tuple[Any, ...]) -> Any:
        """A partner."""
        process = self.kit.Process(target=function, args=arguments)
        process.start()
        return process

    def close(self) -> None:
        if self.meeting is not None:
            crew, _ = self.meeting
            crew.close()
