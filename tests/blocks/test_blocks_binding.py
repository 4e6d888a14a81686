"""The allocator's figures from Python: the arena's size, the budget, and the blocks themselves."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Iterator

import pytest

from procession import _core

MIB = 1 << 20
SHOW = "import json; from procession import _core; _core.join(); print(json.dumps({}))"


@pytest.fixture
def budget() -> Iterator[int]:
    """The budget as it is; put back afterwards."""
    before = _core.memory_budget()
    yield before
    _core.memory_budget(before)


def _statistics(addresses: int | None = None) -> dict[str, int]:
    """Of a new process, which may have so many bytes of addresses."""

    def limit() -> None:
        if addresses is not None:
            resource.setrlimit(resource.RLIMIT_AS, (addresses, addresses))

    done = subprocess.run(
        [sys.executable, "-c", SHOW.format("_core.arena_statistics()")],
        stdout=subprocess.PIPE,
        check=True,
        preexec_fn=limit,
    )
    found: dict[str, int] = json.loads(done.stdout)
    return found


def test_an_arena_has_the_size_that_was_wanted() -> None:
    found = _statistics()
    assert found["reserved"] == found["wanted"] == 1 << 40
    assert 0 < found["budget"] < 1 << 40


@pytest.mark.parametrize("addresses", [600 * MIB, 2048 * MIB])
def test_a_limit_of_addresses_makes_it_smaller(addresses: int) -> None:
    found = _statistics(addresses)
    assert found["wanted"] == 1 << 40
    assert found["reserved"] <= addresses // 2
    assert 0 < found["budget"] < found["reserved"]


def test_a_budget_holds_until_it_is_changed(budget: int) -> None:
    assert _core.memory_budget(100 * MIB) == 100 * MIB
    assert _core.memory_budget() == _core.arena_statistics()["budget"] == 100 * MIB
    assert _core.memory_budget(None) == 100 * MIB
    assert _core.memory_budget(budget) == budget


@pytest.mark.parametrize("wrong", [0, -1, 1 << 64, 1.5, "4GiB"])
def test_what_is_no_budget_is_refused(budget: int, wrong: object) -> None:
    with pytest.raises((ValueError, OverflowError, TypeError)):
        _core.memory_budget(wrong)  # type: ignore[arg-type]
    assert _core.memory_budget() == budget


def test_statistics_follow_a_blocks_life() -> None:
    _core.trim()
    before = _core.arena_statistics()
    memory = _core.Memory(3 * MIB)
    held = _core.arena_statistics()
    assert held["paged"] == before["paged"] + 3 * MIB
    assert held["block_bytes"] == before["block_bytes"] + 3 * MIB
    assert held["freed"] == before["freed"]
    del memory
    freed = _core.arena_statistics()
    assert freed["warm_free"] == before["warm_free"] + 3 * MIB
    assert freed["paged"] == held["paged"]
    assert freed["block_bytes"] == before["block_bytes"]
    assert freed["freed"] != held["freed"]
    _core.trim()
    assert _core.arena_statistics()["paged"] == before["paged"]


def test_blocks_are_seen_with_whose_they_are() -> None:
    arena = _core.arena_descriptor()
    before = {block[0] for block in _core.blocks(arena)[3] if block[3] != 1}
    memory = _core.Memory(5 * MIB - 3)
    limit, paged, warm_free, blocks = _core.blocks(arena)
    statistics = _core.arena_statistics()
    assert (limit, paged, warm_free) == tuple(
        statistics[name] for name in ("budget", "paged", "warm_free")
    )
    (new,) = (block for block in blocks if block[3] != 1 and block[0] not in before)
    _, capacity, length, state, warm, owner, _ = new
    assert (capacity, length, state, warm) == (5 * MIB, 5 * MIB - 3, 3, True)
    assert owner & 0xFFFF == 0xFFFF
    serials = {thing[0] for thing in _core.census(arena)[2]}
    assert owner >> 16 in serials
    del memory
    left = [block for block in _core.blocks(arena)[3] if block[0] == new[0]]
    assert all(block[3] == 1 and block[5] == 0 for block in left)


def test_what_is_no_arena_has_no_blocks() -> None:
    with pytest.raises(RuntimeError, match="no arena"):
        _core.blocks(0)
