"""A snapshot adds up what stands in the tables: by process, by purpose, and the largest blocks."""

from __future__ import annotations

import dataclasses

import pytest

from procession._observe.census import Block, Census, Hold, Process, Thing
from procession._observe.memory import KINDS, MOST_SHOWN, KindMemory, MemorySnapshot, add_up, size

MIB = 1 << 20

MAIN = Process(0x10000, 0, 100, "MainProcess")
WORKER = Process(0x10001, 0x10000, 101, "worker-1")
DEAD = Process(0x10002, 0x10000, 102, "worker-2", alive=False)


def holds(thing: int, *processes: Process) -> list[Hold]:
    return [Hold(thing, process.token, process.pid) for process in processes]


def seen(
    blocks: list[Block], things: list[Thing] | None = None, held: list[Hold] | None = None
) -> MemorySnapshot:
    paged = sum(block.capacity for block in blocks)
    return add_up(
        Census(
            0,
            (MAIN, WORKER, DEAD),
            tuple(things or ()),
            tuple(held or ()),
            blocks=tuple(blocks),
            budget=1024 * MIB,
            paged=paged + 8 * MIB,
            warm_free=8 * MIB,
        )
    )


def test_nothing() -> None:
    snapshot = add_up(Census(0, (MAIN,), budget=1024 * MIB))
    assert (snapshot.budget, snapshot.in_use, snapshot.warm) == (1024 * MIB, 0, 0)
    assert (snapshot.processes, snapshot.largest) == ((), ())
    assert snapshot.kinds == dict.fromkeys(KINDS, KindMemory())
    assert str(snapshot) == "0 bytes of 1 GiB in use, 0 bytes kept warm"


def test_without_a_budget() -> None:
    assert str(add_up(Census(0, paged=MIB))) == "1 MiB in use, 0 bytes kept warm"


def test_what_a_process_has_of_its_own() -> None:
    snapshot = seen(
        [Block(MAIN.token, 0, 2 * MIB), Block(MAIN.token, 0, MIB), Block(WORKER.token, 0, MIB)]
    )
    assert [(it.pid, it.bytes, it.blocks) for it in snapshot.processes] == [
        (100, 3 * MIB, 2),
        (101, MIB, 1),
    ]
    assert snapshot.kinds["channels"] == KindMemory(4 * MIB, 3)
    assert snapshot.in_use == 4 * MIB
    assert snapshot.warm == 8 * MIB


def test_what_is_on_its_way_to_a_process_is_a_result() -> None:
    snapshot = seen([Block(MAIN.token, 0, MIB, travels=True)])
    assert snapshot.kinds["results"] == KindMemory(MIB, 1)
    assert snapshot.processes[0].pid == 100


@pytest.mark.parametrize(
    ("thing", "kind"),
    [
        (Thing(7, "Memory", frozen=True), "shared"),
        (Thing(7, "Memory", frozen=True, purpose="arguments"), "shared"),
        (Thing(7, "Memory", purpose="arguments"), "arguments"),
        (Thing(7, "Memory", purpose="results"), "results"),
        (Thing(7, "Memory", purpose="values"), "values"),
        (Thing(7, "Memory"), "values"),
        (Thing(7, "Queue"), "queues"),
    ],
)
def test_the_purpose_of_a_things_block(thing: Thing, kind: str) -> None:
    snapshot = seen([Block(0, 7, MIB)], [thing], holds(7, MAIN))
    assert {name for name, part in snapshot.kinds.items() if part.blocks} == {kind}


def test_what_several_hold_counts_for_each() -> None:
    snapshot = seen(
        [Block(0, 7, 4 * MIB)], [Thing(7, "Memory", frozen=True)], holds(7, WORKER, MAIN)
    )
    assert [(it.pid, it.bytes) for it in snapshot.processes] == [(100, 4 * MIB), (101, 4 * MIB)]
    assert snapshot.kinds["shared"] == KindMemory(4 * MIB, 1)
    assert snapshot.in_use == 4 * MIB
    (largest,) = snapshot.largest
    assert largest.pids == (100, 101)


def test_what_nobody_holds_is_on_its_way() -> None:
    snapshot = seen([Block(0, 7, MIB)], [Thing(7, "Memory", purpose="arguments")])
    assert snapshot.processes == ()
    assert snapshot.largest[0].pids == ()
    assert "  arguments  1 MiB  on its way" in str(snapshot)


def test_what_a_dead_process_had() -> None:
    snapshot = seen([Block(DEAD.token, 0, MIB)])
    assert not snapshot.processes[0].alive
    assert "  worker-2 (pid 102), dead  1 MiB  1 block" in str(snapshot)


def test_a_thing_that_ended_between_two_looks() -> None:
    """Its block was seen, and it was not."""
    assert seen([Block(0, 7, MIB)]).in_use == MIB


def test_the_largest_are_few_and_sorted() -> None:
    snapshot = seen([Block(MAIN.token, 0, MIB * n) for n in range(1, 30)])
    assert [block.bytes // MIB for block in snapshot.largest] == [*range(29, 29 - MOST_SHOWN, -1)]


def test_as_text() -> None:
    snapshot = seen(
        [
            Block(0, 7, 256 * MIB),
            Block(0, 8, 3 * MIB // 2),
            Block(MAIN.token, 0, 20 << 10),
        ],
        [Thing(7, "Memory", frozen=True), Thing(8, "Memory", purpose="results")],
        [*holds(7, MAIN, WORKER), *holds(8, MAIN)],
    )
    assert str(snapshot) == (
        "258 MiB of 1 GiB in use, 8 MiB kept warm\n"
        "\n"
        "what for\n"
        "  results   1.5 MiB  1 block\n"
        "  shared    256 MiB  1 block\n"
        "  channels   20 KiB  1 block\n"
        "\n"
        "who has it\n"
        "  MainProcess (pid 100)  258 MiB  3 blocks\n"
        "  worker-1 (pid 101)     256 MiB  1 block\n"
        "\n"
        "the largest\n"
        "  shared    256 MiB  MainProcess (pid 100) and 1 more\n"
        "  results   1.5 MiB  MainProcess (pid 100)\n"
        "  channels   20 KiB  MainProcess (pid 100)"
    )


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (256 * MIB, "256 MiB"),
        (12_400_000_000, "11.5 GiB"),
        (5 << 40, "5 TiB"),
        (5000 << 40, "5000 TiB"),
    ],
)
def test_sizes_for_people(count: int, text: str) -> None:
    assert size(count) == text


def test_a_snapshot_can_not_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        seen([]).budget = 1  # type: ignore[misc]
