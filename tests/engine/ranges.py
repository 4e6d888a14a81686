"""What a test sees of the records that wait for a worker."""

from __future__ import annotations

from tests.engine.engines import FakeEngine


def ranges(engine: FakeEngine) -> list[tuple[int, int]]:
    """The items of each record in the ring, by their indices in the call."""
    return [(piece.start + piece.first, piece.start + piece.end) for piece in engine.ring]
