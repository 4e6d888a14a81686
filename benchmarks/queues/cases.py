"""The cases, in the order of the report."""

from __future__ import annotations

from benchmarks.contract import Case
from benchmarks.queues import payloads
from benchmarks.queues.transfer import RATE, Transfer

INTS = 40_000
BLOCKS = 4_000


def _ints(pairs: int) -> Case:
    transfer = Transfer(pairs, payloads.ints, sum)
    return Case(f"small integers, {pairs} to {pairs}", INTS, transfer.run, RATE)


def _blocks(pairs: int) -> Case:
    transfer = Transfer(pairs, payloads.blocks, payloads.lengths)
    return Case(f"bytes of 64 KiB, {pairs} to {pairs}", BLOCKS, transfer.run, RATE)


CASES = {
    "ints_1_to_1": _ints(1),
    "ints_2_to_2": _ints(2),
    "blocks_1_to_1": _blocks(1),
    "blocks_2_to_2": _blocks(2),
}
