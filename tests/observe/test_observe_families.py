"""The way to a family's memory, from the number of any of its processes; and why there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from procession._observe import census, families
from procession._observe.census import Census
from tests.plugins.scripts import LIMIT, RunScript, script_environment

NOBODY = 2**22 + 1  # more than the kernel gives to a process

Start = Callable[..., "list[int]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Runs a text as a program until the test ends; returns `lines` numbers that it prints."""
    running: list[subprocess.Popen[str]] = []

    def start_it(text: str, *, lines: int = 1) -> list[int]:
        program = subprocess.Popen(
            [sys.executable, "-c", text],
            env=script_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        running.append(program)
        assert program.stdout is not None
        return [int(program.stdout.readline()) for _ in range(lines)]

    yield start_it
    for program in running:
        program.communicate(timeout=LIMIT)
        assert program.returncode == 0


def look(pid: int) -> Census:
    arena = families.open_family(pid)
    try:
        return census.look(arena)
    finally:
        os.close(arena)


def pids(pid: int) -> list[int]:
    """Who is in the family of this one."""
    return [process.pid for process in look(pid).processes]


def why_not(pid: int) -> str:
    with pytest.raises(families.CanNotLook) as refused:
        families.open_family(pid)
    return str(refused.value)


JOINED = """
import os, sys
from procession import _core
_core.join()
print(os.getpid(), flush=True)
sys.stdin.read()
"""


def test_a_process_that_shares_something(start: Start) -> None:
    (pid,) = start(JOINED)
    seen = look(pid)
    (process,) = seen.processes
    assert process.pid == pid
    assert process.parent == 0
    assert process.name == "MainProcess"
    assert process.alive
    assert not process.leaving
    assert seen.now > 0


def test_looking_leaves_no_trace(start: Start) -> None:
    (pid,) = start(JOINED)
    before = sorted(os.listdir("/proc/self/fd")), os.listdir(f"/proc/{pid}/fd")
    assert look(pid).processes == look(pid).processes
    assert (sorted(os.listdir("/proc/self/fd")), os.listdir(f"/proc/{pid}/fd")) == before


SHARING = """
import os, sys
from procession import _core
some = _core.Memory(100)
print(os.getpid(), flush=True)
sys.stdin.read()
"""


def test_what_it_shares(start: Start) -> None:
    (pid,) = start(SHARING)
    seen = look(pid)
    (thing,) = seen.things
    assert (thing.kind, thing.value, str(thing)) == ("Memory", 100, f"Memory {thing.serial}")
    (hold,) = seen.holds
    assert (hold.thing, hold.pid, hold.name, hold.count) == (thing.serial, pid, "MainProcess", 0)
    assert hold.owner == seen.processes[0].token
    assert seen.waits == ()


IN_TWO_FAMILIES = """
import os, subprocess, sys
from procession import _core

if len(sys.argv) == 1:
    token, arena = _core.join(), _core.arena_descriptor()
    print(os.getpid(), flush=True)
    command = [sys.executable, "-c", os.environ["TEXT"], str(arena), str(token)]
    sys.exit(subprocess.run(command, pass_fds=[arena]).returncode)
_core.join()
print(os.getpid(), flush=True)
if os.fork() == 0:
    _core.adopt(int(sys.argv[1]), int(sys.argv[2]))
    print(os.getpid(), flush=True)
    sys.stdin.read()
    os._exit(0)
os.wait()
"""


def test_of_two_families_it_is_the_one_that_was_joined(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEXT", IN_TWO_FAMILIES)
    first, second, child = start(IN_TWO_FAMILIES, lines=3)
    assert pids(second) == [second]
    assert pids(first) == pids(child) == [first, child]


CLOSING = """
import os, sys
from procession import _core
_core.join()
os.close(_core.arena_descriptor())
print(os.getpid(), flush=True)
sys.stdin.read()
"""


def test_a_descriptor_that_was_closed(start: Start) -> None:
    """Then the way leads through the mapping; the kernel shows that to the privileged alone."""
    (pid,) = start(CLOSING)
    try:
        found: object = pids(pid)
    except families.CanNotLook as refused:
        found = str(refused).partition(" (")[0]
    assert found in ([pid], f"process {pid} has closed the descriptor of its family's memory")


def test_no_such_process() -> None:
    assert why_not(NOBODY) == f"there is no process with the pid {NOBODY}"
    assert families.count_threads(NOBODY) is None


def test_one_that_has_ended() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    try:
        assert why_not(child) == f"process {child} has ended; nobody has waited for it yet"
    finally:
        os.waitpid(child, 0)


def test_one_that_shares_nothing(start: Start) -> None:
    (pid,) = start("import os, sys; print(os.getpid(), flush=True); sys.stdin.read()")
    assert why_not(pid).startswith(f"process {pid} is in no family of procession: ")
    assert families.count_threads(pid) == 1


OTHER_VERSION = """
import os, sys
arena = os.memfd_create("procession")
os.truncate(arena, 2**30)
os.pwrite(arena, b"rocssion" * 512, 0)
print(os.getpid(), flush=True)
sys.stdin.read()
"""


def test_another_version(start: Start) -> None:
    (pid,) = start(OTHER_VERSION)
    assert why_not(pid).startswith(f"process {pid} runs another version of procession: ")


ASKING = """
import os, sys
from procession._observe import families
if os.getuid() == 0:
    os.setuid(65534)
try:
    families.open_family(int(sys.argv[1]))
except families.CanNotLook as refused:
    print(refused)
"""


def test_somebody_elses(run_script: RunScript) -> None:
    pid = os.getpid() if os.getuid() == 0 else 1
    if os.getuid() != 0 and os.stat(f"/proc/{pid}").st_uid == os.getuid():
        pytest.skip("all processes here are this user's")
    asked = run_script(ASKING, str(pid))
    assert asked.stderr == ""
    assert asked.stdout == (
        f"this user may not look at process {pid}: use the command as the user that runs it, "
        "or as root\n"
    )


def test_a_descriptor_that_is_no_arena() -> None:
    with pytest.raises(RuntimeError, match="no arena of this version"):
        census.look(-1)
