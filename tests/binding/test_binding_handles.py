"""Objects that stand for shared ones, used in ways that nobody plans: half made, half gone."""

from __future__ import annotations

import copy
import os
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import procession
from procession import _core
from procession._core import Memory
from tests.plugins.scripts import RunScript

KINDS = ["Lock", "RLock", "Semaphore", "Event", "Condition", "Barrier", "Queue", "SimpleQueue"]


def made(kind: str) -> Any:
    return getattr(procession, kind)(*[2] * (kind == "Barrier"))


@pytest.mark.parametrize("kind", KINDS)
def test_what_arrives_while_the_last_one_goes_is_a_new_one(kind: str) -> None:
    """Callbacks of weak references run when it is being freed already."""
    last = made(kind)
    pickled, kept = pickle.dumps(last), pickle.dumps(last)
    came: list[Any] = []
    here = weakref.ref(last, lambda _: came.append(pickle.loads(pickled)))
    del last
    others = [made(kind) for _ in range(50)]
    assert here() is None
    assert not any(other is came[0] for other in others)
    assert pickle.loads(kept) is came[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("use", [copy.copy, pickle.dumps])
def test_who_forgets_to_call_init_is_told(kind: str, use: Callable[[object], object]) -> None:
    forgetful = type("Forgetful", (type(made(kind)),), {"__init__": lambda self: None})
    with pytest.raises((RuntimeError, AttributeError)):
        use(forgetful())


@pytest.mark.parametrize("method", ["_name", "_travel", "__reduce__"])
def test_memory_that_nobody_made_has_no_name(method: str) -> None:
    with pytest.raises(RuntimeError, match=r"__init__\(\) was not called"):
        getattr(Memory(), method)()


def test_it_stands_for_one_object_only() -> None:
    memory = Memory(100)
    with pytest.raises(RuntimeError, match="stands for a shared one already"):
        memory._arrive(memory._travel())
    _core.withdraw_pins(0)


def test_what_has_ended_is_not_made_anew() -> None:
    """However often a child asks for it."""
    held = [Memory.holding([b"x" * 100_000])]
    read, write = os.pipe()

    def look() -> list[str]:
        os.read(read, 1)
        told = []
        for _ in range(3):
            try:
                told.append(str(bytes(held[0])[:1]))
            except RuntimeError as error:
                told.append(str(error).partition(":")[0])
        return told

    pid = os.fork()
    if pid == 0:
        os._exit(0 if look() == ["this shared object has ended"] * 3 else 1)
    held.clear()
    os.write(write, b"x")
    assert os.waitpid(pid, 0) == (pid, 0)
    os.close(read)
    os.close(write)


def test_its_first_use_by_many_threads_makes_one(run_script: RunScript) -> None:
    """Where nothing was made before: in what a fork server has loaded for its children."""
    done = run_script(
        """
import threading
from procession import _core
_core.stay_out()
memory = _core.Memory(20_000_000)
threads = [threading.Thread(target=memoryview, args=(memory,)) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(_core.arena_statistics()["blocks"])
del memory
print(_core.arena_statistics()["blocks"])
"""
    )
    assert (done.stdout, done.stderr) == ("1\n0\n", "")


def test_a_child_that_has_closed_all_files_keeps_what_it_inherited(run_script: RunScript) -> None:
    """As daemons do. What it makes has a place of its own."""
    done = run_script(
        """
import os
from procession.sharedctypes import RawArray
inherited = RawArray("b", 1 << 20)
inherited[0] = 42
os.closerange(3, 1024)
pid = os.fork()
if pid == 0:
    own = RawArray("b", 1 << 20)
    print(inherited[0], own[0], flush=True)
    inherited[0] = 7
    print(inherited[0], own[0], flush=True)
    os._exit(0)
os.waitpid(pid, 0)
"""
    )
    assert (done.stdout, done.stderr) == ("42 0\n7 0\n", "")


def test_a_copy_of_a_channel_lets_nobody_elses_memory_go(run_script: RunScript) -> None:
    """A forked child has one; its parent's is gone, and what it makes itself may lie there."""
    done = run_script(
        """
import os
from procession import _core
def make():
    return _core.Channel(2, 1 << 16, 1 << 16, 4, bell)
_core.join()
bell = os.eventfd(0)
copied = make()
read, write = os.pipe()
pid = os.fork()
if pid == 0:
    os.read(read, 1)
    own = make()
    assert own.handle() == copied.handle()
    del copied
    print(make().handle() == own.handle(), flush=True)
    os._exit(0)
copied.release()
os.write(write, b"x")
print(os.waitpid(pid, 0)[1])
"""
    )
    assert (done.stdout, done.stderr) == ("False\n0\n", "")
