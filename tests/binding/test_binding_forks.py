"""What a parent keeps for forked children: until they have settled, and no longer.

The programs have a fork handler from before the package is imported: it runs in a child before
that has settled.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from procession import _core
from procession._core import Memory
from tests.plugins.scripts import RunScript

BEGINNING = """
import os, resource, signal, threading

def nothing():
    pass

before = in_child = nothing
os.register_at_fork(before=lambda: before(), after_in_child=lambda: in_child())

from procession import _core
from procession._core import Memory

LARGE = 100_000
_core.join()

def blocks():
    _core.sweep()
    return _core.arena_statistics()["blocks"]

def large():
    memory = Memory(LARGE)
    memoryview(memory)[0] = 7
    return memory

# A child that lives through all of it.
stay, alive = os.pipe()
if os.fork() == 0:
    os.close(alive)
    os.read(stay, 1)
    os._exit(0)
os.close(stay)
empty = blocks()
"""

FAILED = """
if os.getuid() == 0:  # root may have any number of processes
    try:
        os.setresuid(65534, 65534, 0)
    except OSError:
        print("may not")
        os._exit(0)
limit = resource.getrlimit(resource.RLIMIT_NPROC)
memory = large()
resource.setrlimit(resource.RLIMIT_NPROC, (1, limit[1]))
try:
    fork()
except BlockingIOError:
    print("refused")
del memory
print(blocks() - empty)
"""

KILLED = """
memory = large()
in_child = lambda: os.kill(os.getpid(), signal.SIGKILL)
pid = fork()
os.waitpid(pid, 0)
del memory
print(blocks() - empty)
"""

SLOW = """
go, tell = os.pipe(), os.pipe()
memory = large()
in_child = lambda: os.read(go[0], 1)
pid = fork()
if pid == 0:
    os._exit(memoryview(memory)[0])
del memory
others = [large() for _ in range(3)]  # would lie where it lay
print(blocks() - empty)
os.write(go[1], b"x")
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
del others
print(blocks() - empty)
"""

AT_ONCE = """
go, mine = os.pipe(), threading.get_ident()
memory = large()

def other():
    global pid
    pid = os.fork()
    if pid == 0:
        os._exit(memoryview(memory)[0])

def before():
    if threading.get_ident() == mine:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()

def in_child():
    if threading.get_ident() != mine:
        os.read(go[0], 1)

ours = fork()
if ours == 0:
    os._exit(0)
os.waitpid(ours, 0)
del memory
others = [large() for _ in range(3)]
print(blocks() - empty)
os.write(go[1], b"x")
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
del others
print(blocks() - empty)
"""

CLOSED = """
held = large()
lowest = [os.dup(alive), os.dup(alive)]
for fd in lowest:
    os.close(fd)
_core.before_fork()
for fd in lowest:
    os.close(fd)
again = [os.open("/dev/null", os.O_RDONLY) for _ in lowest]
_core.after_fork()
del held
kept = blocks() - empty
print(again == lowest and [os.fstat(fd).st_rdev != 0 for fd in again] == [True, True])
print(kept)
os.close(alive)
os.wait()
print(blocks() - empty)
"""


@pytest.fixture(params=["os.fork", "_core.fork"])
def fork(request: pytest.FixtureRequest) -> Any:
    """The text that says how a program forks."""
    return f"{BEGINNING}\nfork = {request.param}\n"


def outcome(run_script: RunScript, program: str) -> list[str]:
    done = run_script(program)
    assert done.returncode == 0, done.stderr
    return str(done.stdout).split()


def test_nothing_is_kept_after_a_fork_that_failed(run_script: RunScript, fork: str) -> None:
    printed = outcome(run_script, fork + FAILED)
    if printed == ["may", "not"]:
        pytest.skip("there is no other user that root could become")
    assert printed == ["refused", "0"]


def test_nothing_is_kept_for_a_child_killed_before_it_settled(
    run_script: RunScript, fork: str
) -> None:
    assert outcome(run_script, fork + KILLED) == ["0"]


def test_a_child_that_is_slow_to_settle_finds_what_it_inherited(
    run_script: RunScript, fork: str
) -> None:
    assert outcome(run_script, fork + SLOW) == ["4", "7", "0"]


def test_it_does_so_if_another_thread_forked_in_the_midst_of_a_fork(
    run_script: RunScript, fork: str
) -> None:
    assert outcome(run_script, fork + AT_ONCE) == ["4", "7", "0"]


@contextmanager
def unsettled() -> Iterator[None]:
    """As between the two halves of a fork."""
    _core.before_fork()
    try:
        yield
    finally:
        _core.after_fork()


def shared_blocks() -> int:
    _core.sweep()
    return _core.arena_statistics()["blocks"]


def test_what_another_thread_makes_while_one_forks_is_kept_until_it_has() -> None:
    held = Memory(8)  # nothing is kept where there is nothing
    before = shared_blocks()

    def make() -> None:
        Memory(100_000)

    with unsettled():
        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        assert shared_blocks() == before + 1
    assert shared_blocks() == before
    del held


def test_what_the_program_opens_where_it_closed_ours_stays_its_own(run_script: RunScript) -> None:
    """And without the pipe that says it, a child may not have settled while there are any."""
    assert outcome(run_script, BEGINNING + CLOSED) == ["True", "1", "0"]


def test_a_fork_takes_no_number_of_a_standard_stream(run_script: RunScript) -> None:
    program = f"{BEGINNING}\nheld = large()\nos.close(0)\n_core.before_fork()\n"
    program += "print(os.open('/dev/null', os.O_RDONLY))\n_core.after_fork()\n"
    assert outcome(run_script, program) == ["0"]


def test_a_child_of_subprocess_that_runs_a_function_first_settles() -> None:
    memory = Memory(100_000)
    before = shared_blocks()
    with subprocess.Popen(
        [sys.executable, "-c", "input()"],
        stdin=subprocess.PIPE,
        preexec_fn=lambda: None,  # noqa: PLW1509
    ) as child:
        del memory
        assert shared_blocks() == before - 1
        child.communicate(b"\n")
