"""Names, numbers and keys: who a child is, and who its parent."""

from __future__ import annotations

import os
import re
from typing import Any

import pytest

import procession
from tests.start import targets
from tests.start.test_start_arguments import receive

PREFIX = {"fork": "Fork", "spawn": "Spawn", "forkserver": "ForkServer"}


def test_names_count_on(ctx: Any, method: str) -> None:
    first, second = ctx.Process(), ctx.Process()
    numbers = []
    for process in (first, second):
        found = re.fullmatch(rf"{PREFIX[method]}Process-(\d+)", process.name)
        assert found is not None, process.name
        numbers.append(int(found[1]))
    assert numbers[1] == numbers[0] + 1


def test_a_child_knows_itself_and_its_parent(ctx: Any, method: str) -> None:
    told = receive(ctx, targets.send_identity)
    assert re.fullmatch(rf"{PREFIX[method]}Process-\d+", told.pop("name"))
    assert told.pop("pid") not in (None, os.getpid())
    assert told.pop("parent is own") is (method != "forkserver")
    assert told == {
        "is_own": True,
        "authkey": bytes(procession.current_process().authkey),
        "daemon": False,
        "alive": True,
        "children": [],
        "method": method,
        "parent name": procession.current_process().name,
        "parent pid": os.getpid(),
        "parent alive": True,
        "parent sentinel": True,
    }


def test_a_name_and_a_key_of_its_own(ctx: Any) -> None:
    reader, writer = ctx.Pipe(duplex=False)
    child = ctx.Process(target=targets.send_identity, args=(writer,), name="Emil", daemon=True)
    child.authkey = b"secret"
    child.start()
    with reader, writer:
        told = reader.recv()
    child.join()
    assert (told["name"], told["authkey"], told["daemon"]) == ("Emil", b"secret", True)
    assert bytes(procession.current_process().authkey) != b"secret"


def test_the_standard_library_agrees_in_the_child(ctx: Any) -> None:
    def ask(conn: Any) -> None:
        import multiprocessing

        theirs, ours = multiprocessing.current_process(), procession.current_process()
        conn.send((theirs.name == ours.name, bytes(theirs.authkey) == bytes(ours.authkey)))

    assert receive(ctx, ask) == (True, True)


def test_a_pid_is_the_childs(ctx: Any) -> None:
    reader, writer = ctx.Pipe(duplex=False)
    child = ctx.Process(target=lambda conn: conn.send(os.getpid()), args=(writer,))
    child.start()
    with reader, writer:
        assert reader.recv() == child.pid == child.ident
    child.join()


@pytest.mark.parametrize("way", [["spawn"], ["forkserver", "fork"], ["fork", "spawn", "fork"]])
def test_families_of_mixed_methods(ctx: Any, way: list[str]) -> None:
    reader, writer = ctx.Pipe(duplex=False)
    child = ctx.Process(target=targets.start_another, args=(writer, way), name="top")
    child.start()
    with reader, writer:
        name, _ = reader.recv()
    child.join()
    assert child.exitcode == 0
    assert name == "/".join(["top", *way])


def test_grandchildren_are_named_after_their_place(ctx: Any) -> None:
    def name_a_child(conn: Any) -> None:
        conn.send((procession.current_process()._identity, procession.Process()._identity))

    mine, its = receive(ctx, name_a_child)
    assert its == (*mine, 1)


def test_the_workers_of_a_pool_are_named(ctx: Any, method: str) -> None:
    with ctx.Pool(2) as pool:
        names = {*pool.map(targets.name_of_worker, range(20), chunksize=1)}
    pool.join()
    for name in names:
        assert re.fullmatch(rf"{PREFIX[method]}PoolWorker-\d+", name)


def test_watching_the_parent(ctx: Any) -> None:
    assert receive(ctx, targets.watch_parent) is True
