"""How far an imap call may be ahead of what is consumed, by items and by bytes. Pure arithmetic."""

from __future__ import annotations

from typing import NamedTuple

from procession._engine.chunking import LARGEST, PIECES_A_WORKER

ITEMS_A_WORKER = 64
"""Items on their way or not yet consumed, for each worker, at most; chunks of the caller's count
as one item."""

FIRST_ITEMS_A_WORKER = 8
"""The same at first: more only as results are consumed, when it is known how large they are."""

TINY_ITEMS_A_WORKER = 512
"""The same where items are known to take next to no time and no room."""

TINY_NS = 20_000
TINY_BYTES = 1024

BYTES_AHEAD = 64 << 20
"""Bytes of pickled arguments and (estimated) results on their way or not yet consumed."""

WORTH_WAKING = 5
"""The thread of an input is woken when this part of what may be ahead is missing."""


class Bounds(NamedTuple):
    """What the caller has asked for; None where he has not.

    Attributes:
        chunk: items in a chunk.
        items, most_bytes: ahead, at most.
    """

    chunk: int | None
    items: int | None
    most_bytes: int | None


class Position(NamedTuple):
    """Where the call is.

    Attributes:
        workers: how many.
        reach: how many times as many tiny items may be ahead as on workers nearby.
        taken: items of the input that were taken.
        ahead: those of them that are not consumed.
        size: bytes of those, as far as that is known.
        pace: nanoseconds that an item takes; 0 if it is not known.
    """

    workers: int
    reach: int
    taken: int
    ahead: int
    size: float
    pace: float


def room(bounds: Bounds, at: Position) -> int:
    """How many items more may be taken of the input; 0 or less: none."""
    chunk, ahead = bounds.chunk or 1, at.ahead
    most = LARGEST if bounds.items is None else bounds.items - ahead
    if bounds.items is not None and bounds.most_bytes is None:
        return most
    if ahead < _least(bounds, at):
        return min(chunk, most)
    if at.size >= (bounds.most_bytes or BYTES_AHEAD):
        return 0
    if bounds.items is not None:
        return most
    is_tiny = bounds.chunk is None and 0 < at.pace < TINY_NS and at.size < TINY_BYTES * ahead
    if is_tiny:
        limit = TINY_ITEMS_A_WORKER * at.workers * at.reach
    else:
        limit = ITEMS_A_WORKER * at.workers * chunk
    consumed = at.taken - ahead
    known = (FIRST_ITEMS_A_WORKER * at.workers + 2 * (consumed // chunk)) * chunk
    return min(limit, known) - ahead


def is_worth_waking(bounds: Bounds, at: Position) -> bool:
    """Whether there is so much room that the thread of the input shall be woken: for each item that
    would cost more than it is worth."""
    free = room(bounds, at)
    if free <= 0:
        return False
    if bounds.items is not None or at.ahead < _least(bounds, at):
        return True
    return free * (WORTH_WAKING - 1) >= at.ahead


def _least(bounds: Bounds, at: Position) -> int:
    """So many are ahead in any case, lest workers have nothing to do."""
    return PIECES_A_WORKER * at.workers * (bounds.chunk or 1)
