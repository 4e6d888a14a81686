"""The core's allocator, without a process family: built from its C files and called by ctypes.

Its callers are made up: a token is a number that a block bears, and nobody looks after the life of
its process unless the heap's lock is orphaned.
"""

from __future__ import annotations

import ctypes
import os
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
ORPHAN = Path(__file__).with_name("orphan.c")
PAGE = 4096
CLASSES = 160

FREE, OWNED, TRANSIT = 1, 2, 3
ARGUMENTS, RESULTS, RECORDS = 0, 1, 2
OK, NO_MEMORY = 0, 9


class _Arena(ctypes.Structure):
    _fields_ = (
        ("base", ctypes.c_void_p),
        ("fd", ctypes.c_int),
        ("reserve", ctypes.c_uint64),
        ("me", ctypes.c_uint64),
    )


class _Record(ctypes.Structure):
    _fields_ = (
        ("owner", ctypes.c_uint64),
        ("offset", ctypes.c_uint64),
        ("capacity", ctypes.c_uint64),
        ("length", ctypes.c_uint64),
        ("state", ctypes.c_uint32),
        ("object", ctypes.c_uint32),
        ("warm", ctypes.c_bool),
    )


class _Sizes(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_uint32) for name in ("processes", "objects", "holds", "spots", "blocks")
    )


class _Room(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("budget", "paged", "warm_free"))


@dataclass(frozen=True)
class Block:
    """A descriptor, as the census tells it. `id` is the block's name."""

    id: int
    owner: int
    offset: int
    capacity: int
    length: int
    state: int
    warm: bool

    @property
    def end(self) -> int:
        """Where the next one begins."""
        return self.offset + self.capacity


def build(folder: Path) -> ctypes.CDLL:
    """Compile the core as a library into `folder`, and load it."""
    library = folder / "core.so"
    sources = [*sorted((ROOT / "core").glob("*.c")), ORPHAN]
    compiler = shlex.split(os.environ.get("CC", "cc"))
    options = ["-std=c11", "-O1", "-g", "-shared", "-fPIC", "-pthread", f"-I{ROOT / 'core'}"]
    subprocess.run([*compiler, *options, *map(str, sources), "-o", str(library)], check=True)
    core = ctypes.CDLL(str(library), use_errno=True)
    for name in ("pcn_block_offset", "pcn_class_capacity", "pcn_block_most", "pcn_block_length"):
        getattr(core, name).restype = ctypes.c_uint64
    core.pcn_block_bytes.restype = ctypes.c_void_p
    core.pcn_validate_arena.restype = ctypes.c_char_p
    core.pcn_census_sizes.restype = _Sizes
    core.pcn_census_room.restype = _Room
    core.pcn_census_block.restype = ctypes.c_bool
    return core


class Heap:
    """An arena with `addresses` bytes for blocks."""

    def __init__(self, core: ctypes.CDLL, addresses: int) -> None:
        self._core = core
        self._arena = _Arena()
        assert core.pcn_arena_create(self._there, ctypes.c_uint64(0)) == OK
        self.begin: int = self._arena.reserve - (64 << 20)
        self._reserve, self._arena.reserve = self._arena.reserve, self.begin + addresses
        self.end: int = self._arena.reserve
        self._most_blocks = 0
        self.capacities: list[int] = [core.pcn_class_capacity(it) for it in range(CLASSES)]

    @property
    def _there(self) -> object:
        return ctypes.byref(self._arena)

    def close(self) -> None:
        """Give everything back."""
        self._arena.reserve = self._reserve
        self._core.pcn_arena_detach(self._there)

    def be(self, token: int) -> None:
        """What follows is done by the process of this token."""
        self._arena.me = token

    def allocate(self, use: int, length: int) -> int | None:
        """The new block's name, or None if there is no room for it."""
        number = ctypes.c_uint32()
        size = ctypes.c_uint64(length)
        ctypes.set_errno(0)
        status = self._core.pcn_block_allocate_for(
            self._there, use, size, ctypes.byref(number), ctypes.c_bool(True)
        )
        if status == OK:
            return number.value
        assert status == NO_MEMORY
        return None

    def free(self, number: int, *, cold: bool) -> None:
        """pcn_block_free()."""
        done = self._core.pcn_block_free(
            self._there, number, ctypes.c_bool(cold), ctypes.c_bool(True)
        )
        assert done == OK

    def send(self, number: int, receiver: int) -> None:
        """pcn_block_send()."""
        self._core.pcn_block_send(self._there, number, ctypes.c_uint64(receiver))

    def adopt(self, number: int) -> None:
        """pcn_block_adopt()."""
        self._core.pcn_block_adopt(self._there, number)

    def give(self, number: int, thing: int) -> None:
        """pcn_block_give()."""
        self._core.pcn_block_give(self._there, number, ctypes.c_uint64(thing), 0)

    def take_over(self, number: int) -> None:
        """pcn_block_take_over()."""
        self._core.pcn_block_take_over(self._there, number)

    def reclaim(self, sender: int) -> int:
        """pcn_block_reclaim()."""
        return int(self._core.pcn_block_reclaim(self._there, ctypes.c_uint64(sender)))

    def sweep(self, owner: int) -> int:
        """pcn_block_sweep()."""
        return int(self._core.pcn_block_sweep(self._there, ctypes.c_uint64(owner)))

    def sweep_object(self, thing: int) -> int:
        """pcn_block_sweep_object()."""
        return int(self._core.pcn_block_sweep_object(self._there, ctypes.c_uint64(thing)))

    def trim(self) -> None:
        """pcn_block_trim()."""
        self._core.pcn_block_trim(self._there)

    def set_budget(self, size: int) -> None:
        """pcn_block_set_budget()."""
        self._core.pcn_block_set_budget(self._there, ctypes.c_uint64(size))

    def orphan(self, dead: int, noise: int) -> None:
        """`dead` dies under the heap's lock; what is derived is worth nothing."""
        self._core.orphan_the_heap(self._there, ctypes.c_uint64(dead), noise)

    def around(self, offset: int) -> int:
        """pcn_block_around()."""
        return int(self._core.pcn_block_around(self._there, ctypes.c_uint64(offset)))

    def write(self, number: int, content: bytes, at: int = 0) -> None:
        """Bytes of a block."""
        ctypes.memmove(self._core.pcn_block_bytes(self._there, number) + at, content, len(content))

    def read(self, number: int, length: int, at: int = 0) -> bytes:
        """The same."""
        return ctypes.string_at(self._core.pcn_block_bytes(self._there, number) + at, length)

    def room(self) -> tuple[int, int]:
        """Bytes of blocks with pages, and of the free ones among them."""
        room = self._core.pcn_census_room(self._there)
        return room.paged, room.warm_free

    def pages(self) -> int:
        """Bytes of memory that the file takes, without the tables'."""
        number = self._core.pcn_census_sizes(self._there).blocks
        self._most_blocks = max(self._most_blocks, number)  # their pages stay
        tables = PAGE + -(-self._most_blocks * 64 // PAGE) * PAGE
        return os.fstat(self._arena.fd).st_blocks * 512 - tables

    def wrong(self) -> str | None:
        """What the core's validator says."""
        verdict: bytes | None = self._core.pcn_validate_arena(self._there)
        return verdict.decode() if verdict is not None else None

    def blocks(self) -> list[Block]:
        """All descriptors that are not joined to another one."""
        return list(self._blocks())

    def _blocks(self) -> Iterator[Block]:
        it = _Record()
        for index in range(self._core.pcn_census_sizes(self._there).blocks):
            if self._core.pcn_census_block(self._there, index, ctypes.byref(it)):
                yield Block(
                    index + 1, it.owner, it.offset, it.capacity, it.length, it.state, it.warm
                )
