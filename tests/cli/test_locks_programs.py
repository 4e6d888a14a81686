"""``procession locks`` shows how things stand in a program that runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from procession._observe import census, families
from procession._observe.census import Census
from tests.cli.running import LIMIT, PROGRAMS, Ended, run
from tests.plugins.scripts import script_environment

METHODS = ("fork", "spawn", "forkserver")

StartHolding = Callable[..., "list[int]"]


def locks(*arguments: object) -> Ended:
    """What the command says."""
    return run([sys.executable, "-m", "procession", "locks", *map(str, arguments)])


def see(pid: int, enough: Callable[[Census], bool]) -> Census:
    """Look at a family until there is enough to see."""
    arena = families.open_family(pid)
    try:
        while not enough(seen := census.look(arena)):
            os.sched_yield()
        return seen
    finally:
        os.close(arena)


def place(function: str, statement: str) -> str:
    """Where a statement stands in ``holding.py``, as it is shown."""
    lines = (PROGRAMS / "holding.py").read_text().splitlines()
    first = next(index for index, line in enumerate(lines) if line.startswith(f"def {function}("))
    line = next(
        n for n, text in enumerate(lines[first:], first) if text.strip().startswith(statement)
    )
    return f"in {function} (holding.py:{line + 1})"


def waiting(count: int) -> Callable[[Census], bool]:
    """So many wait."""
    return lambda seen: len(seen.waits) == count


@pytest.fixture
def start() -> Iterator[StartHolding]:
    """Starts the program ``holding.py``; returns its process ids."""
    running: list[subprocess.Popen[str]] = []

    def start_it(method: str, scene: str) -> list[int]:
        program = subprocess.Popen(
            [sys.executable, str(PROGRAMS / "holding.py"), method, scene],
            env=script_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        running.append(program)
        assert program.stdout is not None
        return [int(word) for word in program.stdout.readline().split()]

    yield start_it
    for program in running:
        program.communicate(timeout=LIMIT)
        assert program.returncode == 0


@pytest.mark.parametrize("method", METHODS)
def test_a_deadlock_of_two_processes(start: StartHolding, method: str) -> None:
    parent, first, second = start(method, "crossed")
    see(parent, waiting(2))
    held, wanted = place("hold_then_wait", "held."), place("hold_then_wait", "wanted.")
    for pid in (parent, first):
        shown = locks(pid)
        assert shown.stderr == ""
        assert shown.returncode == 1
        # However long it takes, and however many digits a pid has.
        text = re.sub(r"\) +in ", ")  in ", re.sub(r"\d+\.\d s", "0.0 s", shown.stdout))
        assert text == (
            "3 processes, 2 shared objects\n"
            "\n"
            "Lock 1\n"
            f"  held by     worker-1 (pid {first})  {held}\n"
            f"  awaited by  worker-2 (pid {second})  {wanted}  for 0.0 s\n"
            "\n"
            "RLock 2\n"
            f"  held by     worker-2 (pid {second})  {held}\n"
            f"  awaited by  worker-1 (pid {first})  {wanted}  for 0.0 s\n"
            "\n"
            f"deadlock: worker-1 (pid {first}) waits for RLock 2, which worker-2 (pid {second})"
            " holds\n"
            f"          worker-2 (pid {second}) waits for Lock 1, which worker-1 (pid {first})"
            " holds\n"
        )


def test_a_deadlock_as_data(start: StartHolding) -> None:
    parent, first, second = start("fork", "crossed")
    see(parent, waiting(2))
    shown = locks("--json", parent)
    assert shown.returncode == 1
    data: dict[str, Any] = json.loads(shown.stdout)
    assert {(process["pid"], process["alive"]) for process in data["processes"]} == {
        (parent, True),
        (first, True),
        (second, True),
    }
    (deadlock,) = data["deadlocks"]
    assert deadlock["certain"]
    assert [
        (step["object"], step["waiter"]["pid"], step["holder"]["pid"]) for step in deadlock["steps"]
    ] == [(2, first, second), (1, second, first)]
    lock = data["objects"][0]
    assert (lock["kind"], lock["serial"], lock["state"]) == ("Lock", 1, "held")
    (holder,), (waiter,) = lock["holders"], lock["waiters"]
    assert holder["count"] == 1
    assert holder["alive"]
    assert waiter["seconds"] > 0
    assert not waiter["timeout"]


def test_a_deadlock_of_a_process_with_itself(start: StartHolding) -> None:
    parent, child = start("fork", "alone")
    see(parent, waiting(1))
    shown = locks(parent)
    assert shown.returncode == 1
    assert f"deadlock: worker-1 (pid {child}) waits for Lock 1, which it holds itself\n" in (
        shown.stdout
    )


@pytest.mark.parametrize("method", METHODS)
def test_who_waits_for_one_that_runs(start: StartHolding, method: str) -> None:
    parent, holder, waiter = start(method, "behind")
    see(parent, waiting(1))
    shown = locks(parent)
    assert shown.returncode == 0
    assert f"held by     worker-1 (pid {holder})  {place('hold', 'held.')}\n" in shown.stdout
    assert f"awaited by  worker-2 (pid {waiter})  {place('wait', 'wanted.')}  for " in shown.stdout
    assert "deadlock" not in shown.stdout


def test_who_waits_for_another_thread_of_its_process(start: StartHolding) -> None:
    parent, child = start("fork", "threads")
    see(parent, waiting(1))
    shown = locks(parent)
    assert shown.returncode == 0
    named = rf"worker-1 \(pid {child}, thread (\d+)\)"
    (holder,) = re.findall(rf"held by +{named}", shown.stdout)
    (waiter,) = re.findall(rf"awaited by +{named}", shown.stdout)
    assert holder != waiter
    assert "deadlock" not in shown.stdout


def test_a_deadlock_of_two_threads(start: StartHolding) -> None:
    """Though the process has a third one, that does not wait."""
    parent, child = start("fork", "crossed_threads")
    see(parent, waiting(2))
    shown = locks(parent)
    assert shown.returncode == 1
    _, _, deadlock = shown.stdout.partition("\ndeadlock: ")
    steps = re.findall(
        rf"worker-1 \(pid {child}, thread (\d+)\) waits for Lock (\d), "
        rf"which worker-1 \(pid {child}, thread (\d+)\) holds\n",
        deadlock,
    )
    (first, lock, second), (third, other, fourth) = steps
    assert {lock, other} == {"1", "2"}
    assert (first, second) == (fourth, third)
    assert first != second


def test_who_will_give_up_is_in_no_deadlock(start: StartHolding) -> None:
    parent, _, second = start("fork", "hasty")
    see(parent, waiting(2))
    shown = locks(parent)
    assert shown.returncode == 0
    assert re.search(
        rf"awaited by  worker-2 \(pid {second}\)  in .* for .* s, with a timeout\n", shown.stdout
    )
    assert "deadlock" not in shown.stdout


def test_permits(start: StartHolding) -> None:
    parent, first, second, waiter = start("fork", "permits")
    see(parent, waiting(1))
    shown = locks(parent)
    assert shown.returncode == 0
    assert "Semaphore 1: 0 of 2 free\n" in shown.stdout
    for pid in (first, second):
        assert re.search(rf"held by +worker-\d \(pid {pid}\) ", shown.stdout)
    assert f"awaited by  worker-3 (pid {waiter}) " in shown.stdout


def test_who_died_with_a_lock(start: StartHolding) -> None:
    parent, _ = start("fork", "dead")
    shown = locks(parent)
    assert shown.returncode == 0
    assert re.search(r"^  held by  .* died with it$", shown.stdout, re.MULTILINE)


def test_what_nobody_holds_is_only_shown_when_asked_for(start: StartHolding) -> None:
    (parent,) = start("fork", "idle")
    head = "1 process, 1 shared object\n\n"
    assert locks(parent).stdout == f"{head}nothing is held, and nobody waits\n"
    everything = locks("--all", parent)
    assert everything.returncode == 0
    assert everything.stdout == f"{head}Lock 1: free\n"


def test_usage() -> None:
    assert locks().returncode == 2
    assert locks("x").stderr.startswith("usage: procession locks ")
    helped = locks("--help")
    assert helped.returncode == 0
    assert "exit status" in helped.stdout
    assert max(map(len, helped.stdout.splitlines())) <= 100


def test_an_error_is_one_line() -> None:
    nobody = 2**22 + 1  # more than the kernel gives
    shown = locks(nobody)
    assert shown.returncode == 2
    assert shown.stdout == ""
    assert shown.stderr == f"procession locks: there is no process with the pid {nobody}\n"
