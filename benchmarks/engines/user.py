"""What the users of an engine have to offer: its own calls for many items, and ours on it."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.contract import Function, NotOffered, Rival


class EngineRival(Rival):
    """Has many small items done by an engine, or by two.

    What a subclass leaves undefined it does not offer.
    """

    def map_on_ray(self, function: Function, arguments: Sequence[int]) -> list[int]:
        """All of them by Ray; it is started at the first call."""
        raise NotOffered
