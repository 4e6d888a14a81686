"""What a death on another engine does to a chunk: nobody knows which of its items was at fault."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession._engine.settling import Remains, Settler

if TYPE_CHECKING:
    from procession._engine.pieces import Piece
    from procession._engine.policy import Ended


class ChunkSettler(Settler):
    """The settler of a pool on another engine."""

    def _settle_piece(self, piece: Piece, remains: Remains, ended: Ended) -> None:
        ended = ended._replace(chunk=max(1, piece.end - piece.reached))
        # Each is charged one run; those that have leave go out again one by one.
        for item in range(piece.reached, piece.end):
            self._settle_item(piece, item, ended)
        piece.job.done_with(piece)
