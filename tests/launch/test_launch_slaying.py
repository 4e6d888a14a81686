"""A process is killed with all that descends from it, and nobody else is."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from procession._launch.slaying import slay

# The number of a descriptor follows on the command line. Each process of a tree says its pid there,
# in eight characters, and holds it open for as long as it lives.
_FAMILY = """
import os, signal, sys
def live(*children):
    os.write(int(sys.argv[1]), b"%8d" % os.getpid())
    for grandchildren in children:
        if os.fork() == 0:
            live(*grandchildren)
    while True:
        signal.pause()
live(SHAPE)
"""
_ALONE = _FAMILY.replace("SHAPE", "")
_FAMILY = _FAMILY.replace("SHAPE", "[[]], []")
_FORKER = """
import os, sys, threading
def fork():
    while True:
        if os.fork() == 0:
            os.write(int(sys.argv[1]), b"x")
            os.read(0, 1)
            os._exit(0)
threading.Thread(target=fork).start()
fork()
"""


class Tree:
    """A process with descendants, started by a program that knows nothing of us."""

    def __init__(self, program: str) -> None:
        self.read, write = os.pipe()
        idle, self.kept = os.pipe()
        arguments = [sys.executable, "-S", "-c", program, f"{write}"]
        self.root = subprocess.Popen(arguments, pass_fds=[write], stdin=idle)
        os.close(write)
        os.close(idle)
        self.sentinel = os.pidfd_open(self.root.pid)

    def heard(self, size: int) -> bytes:
        """So many bytes of what they say."""
        said = b""
        while len(said) < size:
            said += os.read(self.read, size - len(said))
        return said

    def pids(self, count: int) -> list[int]:
        """The pids of so many."""
        said = self.heard(8 * count)
        return [int(said[at : at + 8]) for at in range(0, len(said), 8)]

    def is_over(self) -> bool:
        """Wait until nobody of it is left."""
        self.root.wait()
        poll = select.poll()
        poll.register(self.read, select.POLLIN)
        while poll.poll():
            if not os.read(self.read, 1 << 16):
                return True
        return False

    def close(self) -> None:
        """Leave nobody, whatever the test has found."""
        slay(self.root.pid, self.sentinel)
        self.root.wait()
        for fd in (self.read, self.kept, self.sentinel):
            os.close(fd)


@contextlib.contextmanager
def growing(program: str) -> Iterator[Tree]:
    """A tree, for as long as the test needs it."""
    tree = Tree(program)
    try:
        yield tree
    finally:
        tree.close()


def test_children_and_their_children_go_with_it() -> None:
    with growing(_FAMILY) as tree:
        assert len(set(tree.pids(4))) == 4
        assert slay(tree.root.pid, tree.sentinel) >= 4
        assert tree.is_over()
        assert tree.root.wait() == -signal.SIGKILL


def test_who_forks_without_end_is_caught_whole() -> None:
    """Its children live until their input ends, so one that was missed would be heard of."""
    with growing(_FORKER) as tree:
        tree.heard(20)
        assert slay(tree.root.pid, tree.sentinel) > 20
        assert tree.is_over()


def test_a_stopped_tree_can_be_killed() -> None:
    with growing(_FAMILY) as tree:
        for pid in tree.pids(4):
            os.kill(pid, signal.SIGSTOP)
        assert slay(tree.root.pid, tree.sentinel) >= 4
        assert tree.is_over()


def test_siblings_are_left_alone() -> None:
    with growing(_ALONE) as sibling, growing(_FAMILY) as tree:
        sibling.pids(1)
        tree.pids(4)
        slay(tree.root.pid, tree.sentinel)
        assert tree.is_over()
        assert sibling.root.poll() is None


@pytest.mark.parametrize("is_reaped", [False, True])
def test_who_has_ended_is_no_error(is_reaped: bool) -> None:
    with growing("") as tree:
        if is_reaped:
            tree.root.wait()
        else:
            os.waitid(os.P_PID, tree.root.pid, os.WEXITED | os.WNOWAIT)
        slay(tree.root.pid, tree.sentinel)
        assert tree.root.wait() == 0
