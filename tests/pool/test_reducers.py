"""What is registered with the standard library's pickler is used for arguments and results."""

from __future__ import annotations

import multiprocessing.connection
import multiprocessing.reduction
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import procession
from procession._launch import stdlib
from procession.pool import Pool
from tests.plugins.scripts import LIMIT, RunScript

METHODS = ["fork", "spawn", "forkserver"]


class Sheet:
    """Plain pickle takes it, and forgets by whom it was pickled."""

    def __init__(self, text: str, made: str = "plainly") -> None:
        self.text = text
        self.made = made


class Door:
    """Plain pickle refuses it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.hinge: Callable[[], int] = lambda: number


def reduce_sheet(sheet: Sheet) -> tuple[Any, ...]:
    """How programs pickle sheets."""
    return Sheet, (sheet.text, "as registered")


def reduce_door(door: Door) -> tuple[Any, ...]:
    """How programs pickle doors."""
    return Door, (door.number,)


def register() -> None:
    """Have both pickled so, in this process."""
    multiprocessing.reduction.ForkingPickler.register(Sheet, reduce_sheet)
    multiprocessing.reduction.ForkingPickler.register(Door, reduce_door)


def made(sheet: Sheet) -> str:
    """How it came here."""
    return sheet.made


def made_with(*, sheet: Sheet) -> str:
    """The same, with a name."""
    return sheet.made


def make(text: str) -> Sheet:
    """A result to be pickled."""
    return Sheet(text)


def turn(door: Door) -> Door:
    """To the next one; on its way there and back."""
    return Door(door.number + door.hinge() - door.number + 1)


def read(end: socket.socket) -> bytes:
    """What comes in there."""
    with end:
        return end.recv(100)


def same(end: Any) -> Any:
    """There and back."""
    return end


def receive(end: Any) -> Any:
    """What comes in there."""
    with end:
        return end.recv()


@pytest.fixture(params=METHODS)
def registered(request: pytest.FixtureRequest) -> Iterator[Pool]:
    """A pool of two workers, with sheets and doors registered on both sides."""
    pickler: Any = multiprocessing.reduction.ForkingPickler
    table = pickler._extra_reducers
    register()
    context: Any = procession.get_context(request.param)
    with context.Pool(2, initializer=register) as pool:
        yield pool
    pool.join()
    del table[Sheet], table[Door]


@pytest.fixture(params=METHODS)
def lending(request: pytest.FixtureRequest) -> Iterator[Pool]:
    """A pool of two workers; behind it nobody here lends descriptors any more."""
    context: Any = procession.get_context(request.param)
    with context.Pool(2) as pool:
        yield pool
    pool.join()
    stdlib.borrow("resource_sharer").stop(timeout=LIMIT)


def test_a_registered_type_goes_as_registered(registered: Pool) -> None:
    sheet = Sheet("a")
    assert registered.apply(made, (sheet,)) == "as registered"
    assert registered.apply(made_with, kwds={"sheet": sheet}) == "as registered"
    assert registered.map(made, [sheet] * 5, 2) == ["as registered"] * 5
    assert registered.starmap(made, [(sheet,)] * 3) == ["as registered"] * 3
    assert [*registered.imap(made, [sheet] * 3)] == ["as registered"] * 3
    assert [*registered.imap_unordered(made, [sheet] * 3, 2)] == ["as registered"] * 3
    assert registered.apply(lambda given: given.made, (sheet,)) == "as registered"


def test_a_result_of_a_registered_type_goes_as_registered(registered: Pool) -> None:
    for results in (
        [registered.apply(make, ("a",))],
        registered.map(make, "aa"),
        [*registered.imap(make, "aa")],
        [*registered.imap_unordered(make, "aa", 2)],
    ):
        assert {(sheet.text, sheet.made) for sheet in results} == {("a", "as registered")}


def test_what_plain_pickle_refuses_goes_as_registered(registered: Pool) -> None:
    assert registered.apply(turn, (Door(1),)).hinge() == 2
    assert [door.hinge() for door in registered.map(turn, [Door(2), Door(3)])] == [3, 4]
    assert [door.hinge() for door in registered.imap(turn, [Door(2), Door(3)])] == [3, 4]


def test_a_socket_goes_there(lending: Pool) -> None:
    here, there = socket.socketpair()
    with here, there:
        ways: tuple[Callable[[], Any], ...] = (
            lambda: lending.apply(read, (there,)),
            lambda: lending.map(read, [there])[0],
            lambda: next(lending.imap(read, [there])),
        )
        for way in ways:
            here.send(b"hello")
            assert way() == b"hello"


def test_a_socket_comes_back(lending: Pool) -> None:
    here, there = socket.socketpair()
    with here, there:
        ways: tuple[Callable[[], Any], ...] = (
            lambda: lending.apply(same, (there,)),
            lambda: lending.map(same, [there])[0],
            lambda: next(lending.imap(same, [there])),
        )
        for way in ways:
            with way() as back:
                here.send(b"hello")
                assert back.recv(100) == b"hello"


@pytest.mark.parametrize("pipe", [procession.Pipe, multiprocessing.Pipe])
def test_a_connection_goes_there_and_back(lending: Pool, pipe: Callable[[], Any]) -> None:
    here, there = pipe()
    with here, there:
        here.send([1])
        assert lending.apply(receive, (there,)) == [1]
        here.send([2])
        assert lending.map(receive, [there]) == [[2]]
        with lending.apply(same, (there,)) as back:
            here.send([3])
            assert back.recv() == [3]


def test_nothing_that_is_registered_from_the_start_keeps_arguments_from_the_fast_way(
    run_script: RunScript,
) -> None:
    done = run_script(
        "import procession as mp\n"
        "from procession._codec.objects import reducers\n"
        "def is_fast(*_): return len(reducers.table) == reducers.harmless > 0\n"
        "if __name__ == '__main__':\n"
        "    for method in ('fork', 'spawn', 'forkserver'):\n"
        "        with mp.get_context(method).Pool(1) as pool:\n"
        "            print(pool.apply(is_fast), is_fast())\n"
        "    import multiprocessing.reduction\n"
        "    multiprocessing.reduction.register(slice, lambda s: (slice, (1,)))\n"
        "    print(is_fast())\n"
    )
    assert done.stderr == ""
    assert done.stdout == "True True\n" * 3 + "False\n"


REPLACED = """
import multiprocessing as mp
from multiprocessing.reduction import ForkingPickler

class Sheet:
    made = "plainly"

def give():
    sheet = Sheet()
    sheet.made = "as registered"
    return sheet

ForkingPickler.register(Sheet, lambda sheet: (give, ()))

def made(sheet):
    return sheet.made

if __name__ == "__main__":
    with mp.get_context("spawn").Pool(1) as pool:
        print(pool.map(made, [Sheet()]), pool.apply(Sheet).made)
"""


def test_a_program_run_on_ours_registers_with_what_it_sees(
    run_script: RunScript, tmp_path: Path
) -> None:
    program = tmp_path / "registering.py"
    program.write_text(REPLACED)
    done = run_script(
        "import subprocess, sys\n"
        "command = [sys.executable, '-m', 'procession', 'run', sys.argv[1]]\n"
        "print(subprocess.run(command, capture_output=True, text=True, check=False))\n",
        str(program),
    )
    assert "stdout=\"['as registered'] as registered\\n\", stderr=''" in done.stdout


def test_what_is_registered_again_is_used_from_then_on(registered: Pool) -> None:
    """For what is pickled by value, as functions without a name are, too."""
    sheet, pickler = Sheet("s"), multiprocessing.reduction.ForkingPickler
    assert registered.apply(lambda sheet: sheet.made, (sheet,)) == "as registered"
    assert registered.apply(lambda: sheet.made) == "as registered"
    pickler.register(Sheet, lambda sheet: (Sheet, (sheet.text, "otherwise")))
    assert registered.apply(lambda sheet: sheet.made, (sheet,)) == "otherwise"
    assert registered.apply(lambda: sheet.made) == "otherwise"


MANAGED = """
import array
import functools
import multiprocessing.managers
from multiprocessing.reduction import ForkingPickler
import procession as mp
from procession._codec.objects import reducers

def is_fast(*_):
    return len(reducers.table) == reducers.harmless

def same(value):
    return value

def views():
    known = {"a": 1}
    return [known.keys(), known.values(), known.items()]

def reduce_array(given):
    return list, ([*given],)

if __name__ == "__main__":
    numbers = array.array("d", [1.5, 2.5])
    for method in ("fork", "spawn", "forkserver"):
        with mp.get_context(method).Pool(1) as pool:
            assert pool.apply(is_fast, (1, 2)) and is_fast(), method
            print(pool.map(same, views()), pool.apply(views), pool.apply(same, (numbers,)))
    ForkingPickler.register(array.array, functools.partial(reduce_array))
    with mp.Pool(1) as pool:
        print(pool.apply(same, (numbers,)), pool.apply(same, (1,)))
"""


def test_the_library_s_managers_do_not_slow_down_what_is_pickled(run_script: RunScript) -> None:
    done = run_script(MANAGED)
    assert done.stderr == ""
    *same, last = done.stdout.splitlines()
    views = "[['a'], [1], [('a', 1)]]"
    assert same == [f"{views} {views} array('d', [1.5, 2.5])"] * 3
    assert last == "[1.5, 2.5] 1"
