"""Takes back from workers that are stuck what they have not begun, and gives it to others."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING

from procession._engine.balancing import STEP, Balance
from procession._engine.pieces import Piece

if TYPE_CHECKING:
    from procession._engine.engine import Engine, Seat


class Sharing:
    """For one engine. The supervisor looks, while records of several items are under way."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._balance = Balance()
        self._pieces: dict[int, Piece] = {}  # of several items, by their numbers

    def watch(self, piece: Piece) -> None:
        """A record of several items was sent: a worker may get stuck in the midst of it."""
        is_first = not self._pieces
        self._pieces[piece.number] = piece
        if piece.reached >= piece.end:
            self.forget(piece)  # it was answered before it stood there
        elif is_first:
            self._engine.supervisor.wake()

    def forget(self, piece: Piece) -> None:
        """It is answered."""
        self._pieces.pop(piece.number, None)

    def look(self, seats: Sequence[Seat]) -> float | None:
        """Take back what is to be taken back.

        Args:
            seats: what the workers hold.

        Returns:
            Seconds until it is to be looked at again; None if nothing needs that.
        """
        engine, pieces = self._engine, self._pieces
        if not pieces:
            return None
        with engine.lock:
            busy = {seat for seat, *_ in seats}
            idle = engine.workers - len(busy) if len(engine.open) <= len(busy) else 0
            several = [row for row in seats if row[1] in pieces]
            for seat, number, keep in self._balance.look(monotonic(), several, idle):
                piece = pieces.get(number)
                if piece is not None:
                    engine.settler.take_back(seat, piece, keep)
        return STEP
