"""Processes that hold locks and wait for them, until the standard input ends.

Arguments: a start method, and which of the functions at the end is to set the scene. Prints the
process ids, the own one first, once everybody has what it is to hold; waiting may begin later.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

import procession
from procession._sync.locks import Lock, RLock, Semaphore


def hold_then_wait(held: Any, wanted: Any, conn: Any) -> None:
    """Take one, say so, and when told to, the other one."""
    held.acquire()
    conn.send("held")
    conn.recv()
    wanted.acquire()


def hold_then_wait_a_while(held: Any, wanted: Any, conn: Any) -> None:
    """The same, but not for ever."""
    held.acquire()
    conn.send("held")
    conn.recv()
    wanted.acquire(timeout=1000)


def hold(held: Any, conn: Any) -> None:
    """Take it, say so, and stay."""
    held.acquire()
    conn.send("held")
    conn.recv()


def wait(wanted: Any, conn: Any) -> None:
    """Say that it begins, and begin to wait."""
    conn.send("begins")
    wanted.acquire()


def hold_and_let_a_thread_wait(lock: Any, conn: Any) -> None:
    """One thread of this process waits for another one."""
    lock.acquire()
    threading.Thread(target=lock.acquire, daemon=True).start()
    conn.send("held")
    conn.recv()


def hold_then_wait_in_threads(first: Any, second: Any, conn: Any) -> None:
    """Two threads of this process wait for each other."""
    all_held = threading.Barrier(3)

    def take(held: Any, wanted: Any) -> None:
        held.acquire()
        all_held.wait()
        wanted.acquire()

    for locks in ((first, second), (second, first)):
        threading.Thread(target=take, args=locks, daemon=True).start()
    all_held.wait()
    conn.send("held")
    conn.recv()


class Scene:
    """The children, the ends of their pipes, and what is to stay."""

    def __init__(self, method: str) -> None:
        self._context = procession.get_context(method)
        self._ends: list[Any] = []
        self.children: list[Any] = []
        self.kept: list[Any] = []

    def add(self, target: Any, *args: Any) -> Any:
        """Start a child, and hear its first word."""
        ours, theirs = self._context.Pipe()
        name = f"worker-{len(self.children) + 1}"
        child = self._context.Process(target=target, args=(*args, theirs), name=name, daemon=True)
        child.start()
        self._ends.append(ours)
        self.children.append(child)
        assert ours.recv()
        return child

    def go(self) -> None:
        """Tell all of them to go on."""
        for end in self._ends:
            end.send("go")


def crossed(scene: Scene) -> None:
    """A deadlock of two processes."""
    first, second = Lock(), RLock()
    scene.add(hold_then_wait, first, second)
    scene.add(hold_then_wait, second, first)
    scene.go()


def hasty(scene: Scene) -> None:
    """The same, but one of them will give up."""
    first, second = Lock(), Lock()
    scene.add(hold_then_wait, first, second)
    scene.add(hold_then_wait_a_while, second, first)
    scene.go()


def alone(scene: Scene) -> None:
    """A deadlock of one process with itself."""
    lock = Lock()
    scene.add(hold_then_wait, lock, lock)
    scene.go()


def behind(scene: Scene) -> None:
    """One waits for another one, that does not wait."""
    lock = Lock()
    scene.add(hold, lock)
    scene.add(wait, lock)


def threads(scene: Scene) -> None:
    """A thread waits for another one of its process."""
    scene.add(hold_and_let_a_thread_wait, Lock())


def crossed_threads(scene: Scene) -> None:
    """A deadlock of two threads."""
    scene.add(hold_then_wait_in_threads, Lock(), Lock())


def permits(scene: Scene) -> None:
    """Of two permits, both are taken, and somebody waits for one."""
    semaphore = Semaphore(2)
    scene.add(hold, semaphore)
    scene.add(hold, semaphore)
    scene.add(wait, semaphore)


def dead(scene: Scene) -> None:
    """One was killed with a lock in its hands."""
    scene.kept.append(Lock())
    child = scene.add(hold, *scene.kept)
    child.kill()
    child.join()


def idle(scene: Scene) -> None:
    """Nobody holds anything."""
    scene.kept.append(Lock())


if __name__ == "__main__":
    stage = Scene(sys.argv[1])
    globals()[sys.argv[2]](stage)
    print(procession.current_process().pid, *(child.pid for child in stage.children), flush=True)
    sys.stdin.read()
