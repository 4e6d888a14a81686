"""Random work on the allocator of blocks, each step foretold by a plain model.

The model knows who has which block and what stands in it. Where a block may go, and when there is
room for none, it finds out the slow way, from all runs of free neighbours; what the allocator may
keep and has to count follows from the budget.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from tests.blocks import heap
from tests.blocks.heap import ARGUMENTS, RECORDS, RESULTS, Block, Heap

KIB = 1 << 10
WALKS = 2000 if os.environ.get("PROCESSION_EXAMPLES") == "explore" else 40
STEPS = 150
PROCESSES = [1 << 16 | slot for slot in (1, 2, 3)]
THINGS = [serial << 16 | 0xFFFF for serial in (7, 8)]
NOBODY = 9 << 16 | 0xFF0
"""A token whose process has died."""


@dataclass
class Held:
    """A block that somebody has: `owner` by right, `sender` while it is signed by somebody."""

    number: int
    owner: int
    length: int
    content: bytes
    sender: int = 0
    travels: bool = False


class Work:
    """See above. One walk: `seed` decides about all of it."""

    def __init__(self, core: ctypes.CDLL, seed: int) -> None:
        self.random = Random(seed)
        self.heap = Heap(core, self.random.choice([256, 512, 1024, 8192]) * KIB)
        self.heap.be(PROCESSES[0])
        self.held: dict[int, Held] = {}
        self.written = 0
        self.refused = 0
        self.joined = 0
        self.set_budget(self.random.choice([0, 300, 777, 2048]) * KIB)

    def walk(self, steps: int) -> None:
        """So many steps, all looked at."""
        often = [self.allocate] * 8 + [self.free] * 6
        now_and_then = [self.send, self.adopt, self.give, self.take_over] * 2
        seldom = [self.sweep, self.sweep_object, self.reclaim, self.trim, self.die_under_the_lock]
        for _ in range(steps):
            self.random.choice([*often, *now_and_then, *seldom])()
            if self.random.random() < 0.02:
                self.set_budget(self.random.choice([0, 200, 500, 1000, 4096]) * KIB)
            self.look()

    def end(self) -> None:
        """Whoever is left dies, and all is zero."""
        for token in PROCESSES:
            self.sweep(token)
        for thing in THINGS:
            self.sweep_object(thing)
        self.look()
        assert not self.held
        paged, warm = self.heap.room()
        assert paged == warm
        self.heap.trim()
        assert self.heap.room() == (0, 0)
        assert self.heap.pages() == 0
        self.heap.close()

    def a_process(self) -> int:
        return self.random.choice(PROCESSES)

    # ---- taking ----

    def a_length(self) -> int:
        small = self.random.randrange(100)
        exact = self.random.choice(self.heap.capacities[:20])
        any_at_all = self.random.randrange(600 * KIB)
        return self.random.choice([small, exact, exact, any_at_all])

    def allocate(self) -> None:
        use = self.random.choice([ARGUMENTS, RESULTS, RECORDS])
        length = self.a_length()
        foretold = self.foretell(use, length)
        me = self.a_process()
        self.heap.be(me)
        number = self.heap.allocate(use, length)
        if number is None:
            assert foretold == 0
            self.refused += 1
            return
        assert foretold == next(it.capacity for it in self.heap.blocks() if it.id == number)
        self.written += 1
        content = self.written.to_bytes(4, "little") * (length // 4 + 1)
        self.heap.write(number, content[:length])
        self.held[number] = Held(number, me, length, content[:length])

    def foretell(self, use: int, length: int) -> int:
        """Bytes of the block that will be taken; 0: there is no room for it."""
        blocks = self.heap.blocks()
        capacity = next(size for size in self.heap.capacities if size >= length)
        if not self.fits(blocks, use, capacity):
            return 0
        free = [block for block in blocks if block.state == heap.FREE]
        end = blocks[-1].end if blocks else self.heap.begin
        if any(block.capacity == capacity for block in free) or self.heap.end - end >= capacity:
            return capacity
        needed = max(1, -(-length // heap.PAGE)) * heap.PAGE
        tightest = min((run for run in self.runs(blocks) if run >= needed), default=0)
        if not self.fits(blocks, use, tightest):
            tightest = 0
        if tightest and tightest <= 2 * needed:
            return tightest
        tail = self.heap.end - self.tail(blocks)
        if blocks and blocks[-1].state == heap.FREE and tail >= capacity:
            return capacity
        return tightest

    def fits(self, blocks: list[Block], use: int, more: int) -> bool:
        in_use = sum(block.capacity for block in blocks if block.state != heap.FREE)
        return not self.budget or in_use + more <= self.most(use)

    def most(self, use: int) -> int:
        return {
            ARGUMENTS: self.budget // 4 * 3,
            RESULTS: self.budget,
            RECORDS: self.budget + self.budget // 8,
        }[use]

    @staticmethod
    def runs(blocks: list[Block]) -> Iterator[int]:
        """Bytes of each run of free neighbours."""
        for first in range(len(blocks)):
            size = 0
            for block in blocks[first:]:
                if block.state != heap.FREE:
                    break
                size += block.capacity
                yield size

    def tail(self, blocks: list[Block]) -> int:
        """Where what is free at the end begins."""
        used = [block.end for block in blocks if block.state != heap.FREE]
        return max(used, default=self.heap.begin)

    def pick(self, travels: bool, owners: list[int]) -> Held | None:
        """One of those, if there are any."""
        held = [it for it in self.held.values() if it.travels == travels and it.owner in owners]
        return self.random.choice(held) if held else None

    # ---- handing on ----

    def send(self) -> None:
        receiver = self.a_process()
        if held := self.pick(False, PROCESSES):
            self.heap.be(held.owner)
            self.heap.send(held.number, receiver)
            held.sender, held.owner, held.travels = held.owner, receiver, True

    def adopt(self) -> None:
        if held := self.pick(True, PROCESSES):
            self.heap.be(held.owner)
            self.heap.adopt(held.number)
            held.sender, held.travels = 0, False

    def give(self) -> None:
        thing = self.random.choice(THINGS)
        if held := self.pick(False, PROCESSES):
            self.heap.be(held.owner)
            self.heap.give(held.number, thing)
            held.sender, held.owner, held.travels = held.owner, thing, True

    def take_over(self) -> None:
        me = self.a_process()
        if held := self.pick(True, THINGS):
            self.heap.be(me)
            self.heap.take_over(held.number)
            held.sender, held.owner, held.travels = 0, me, False

    # ---- freeing ----

    def free(self) -> None:
        for _ in range(self.random.choice([1, 1, 1, 4])):
            if self.held:
                number = self.random.choice([*self.held])
                del self.held[number]
                self.heap.free(number, cold=self.random.random() < 0.3)

    def sweep(self, dead: int | None = None) -> None:
        dead = dead or self.a_process()
        self.heap.be(next(token for token in PROCESSES if token != dead))
        assert self.heap.sweep(dead) == self.drop(lambda held: held.owner == dead)

    def sweep_object(self, thing: int | None = None) -> None:
        thing = thing or self.random.choice(THINGS)
        assert self.heap.sweep_object(thing) == self.drop(lambda held: held.owner == thing)

    def reclaim(self) -> None:
        me, sender = self.a_process(), self.a_process()
        self.heap.be(me)
        freed = self.heap.reclaim(sender)
        assert freed == self.drop(lambda held: held.owner == me and held.sender == sender)

    def drop(self, which: Callable[[Held], bool]) -> int:
        gone = [number for number, held in self.held.items() if which(held)]
        for number in gone:
            del self.held[number]
        return len(gone)

    # ---- the rest ----

    def trim(self) -> None:
        self.heap.trim()
        assert self.heap.room()[1] == 0

    def set_budget(self, budget: int) -> None:
        self.budget = budget
        self.heap.set_budget(budget)

    def die_under_the_lock(self) -> None:
        self.heap.orphan(NOBODY, self.random.getrandbits(32))
        self.heap.sweep(NOBODY)

    def look(self) -> None:
        assert self.heap.wrong() is None
        blocks = self.heap.blocks()
        ends = [self.heap.begin, *(block.end for block in blocks)]
        assert [block.offset for block in blocks] == ends[:-1]
        assert ends[-1] <= self.heap.end
        used = {block.id: block for block in blocks if block.state != heap.FREE}
        assert used.keys() == self.held.keys()
        for number, held in self.held.items():
            block = used[number]
            assert (block.owner, block.length) == (held.owner, held.length)
            assert block.state == (heap.TRANSIT if held.travels else heap.OWNED)
            assert block.warm
            assert block.length <= block.capacity
            assert self.heap.around(block.offset) == number
            assert self.heap.around(block.end - 1) == number
            assert self.heap.read(number, held.length) == held.content
            self.joined += block.capacity not in self.heap.capacities
        in_use = sum(block.capacity for block in used.values())
        free = sum(block.capacity for block in blocks if block.warm) - in_use
        assert self.heap.room() == (in_use + free, free)
        assert self.heap.pages() == in_use + free
        assert not self.budget or in_use + free <= max(in_use, self.most(RECORDS))


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder: Path = tmp_path_factory.mktemp("core")
    return heap.build(folder)


def test_random_work_is_as_foretold(core: ctypes.CDLL) -> None:
    refused = joined = 0
    for seed in range(WALKS):
        work = Work(core, seed)
        try:
            work.walk(STEPS)
            work.end()
        except AssertionError as error:
            error.add_note(f"seed {seed}, {work.written} blocks written")
            raise
        refused += work.refused
        joined += work.joined
    assert refused > WALKS  # or the walks are too easy
    assert joined > WALKS
