"""A program with fail points: a process dies at its n-th one at an event, condition or barrier.

    python dying_with_waits.py KIND

For n = 1, 2, 3 ... a forked child uses a thing (KIND: Event, Condition, Barrier) in all ways, and
dies at the n-th fail point that it passes, while another child waits there, which must come to
its end. It prints a line of JSON for each n, until nobody died.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

from procession import _core
from procession._sync.barriers import Barrier
from procession._sync.conditions import Condition
from procession._sync.events import Event
from procession.errors.sync import OwnerDied


def fork(call: Callable[[], object]) -> int:
    """A child that calls it and ends by itself."""
    pid = _core.fork()
    if pid == 0:
        status = 1
        try:
            call()
            status = 0
        finally:
            _core.leave()
            os._exit(status)
    return pid


def ended(pid: int) -> int:
    """Its wait status."""
    return os.waitpid(pid, 0)[1]


class Scene:
    """What the kinds differ in. The victim's part is `die`, the other's `wait`."""

    def die(self) -> None:
        """Use it in all ways."""

    def wait(self) -> None:
        """Wait until `help` or the victim lets us go."""

    def help(self, died: bool) -> None:
        """Whoever is left does what makes the other one end; raises what must not be."""


class Events(Scene):
    """Set by the victim, or by who is left."""

    def __init__(self) -> None:
        self.event = Event()

    def die(self) -> None:
        self.event.wait(0.05)
        self.event.set()

    def wait(self) -> None:
        assert self.event.wait()

    def help(self, died: bool) -> None:
        assert died or self.event.is_set()
        self.event.set()


class Conditions(Scene):
    """Both count up; who is left goes on until the other has seen it."""

    def __init__(self) -> None:
        self.condition = Condition()
        self.changed = _core.Memory(1)

    def locked(self, call: Callable[[], object]) -> None:
        """Having the lock, though the victim may have died with it."""
        try:
            with self.condition:
                call()
        except OwnerDied:
            if not self.condition._lock.recover():
                return self.locked(call)
            try:
                call()
            finally:
                self.condition.release()
        return None

    def change(self) -> None:
        """What is waited for."""
        memoryview(self.changed)[0] = 1
        self.condition.notify()

    def die(self) -> None:
        with self.condition:
            self.condition.wait(0.05)
            self.condition.notify(0)
            self.change()
            self.condition.notify_all()

    def wait(self) -> None:
        number = memoryview(self.changed)
        while not number[0]:
            self.locked(lambda: self.condition.wait_for(lambda: number[0]))

    def help(self, died: bool) -> None:
        assert died or memoryview(self.changed)[0]
        self.locked(self.change)


class Barriers(Scene):
    """The victim and the other meet; if the victim dies, the other is told."""

    def __init__(self) -> None:
        self.barrier = Barrier(2, os.sched_yield)

    def die(self) -> None:
        for _ in range(3):
            self.barrier.wait()

    def wait(self) -> None:
        try:
            for _ in range(3):
                self.barrier.wait()
        except threading.BrokenBarrierError:
            return

    def help(self, died: bool) -> None:
        assert died or not self.barrier.broken
        if died:
            self.barrier.abort()  # it may have died before it was known at the barrier
            self.barrier.reset()
            pids = [fork(self.barrier.wait) for _ in range(2)]
            assert [ended(pid) for pid in pids] == [0, 0]


KINDS: dict[str, Callable[[], Any]] = {
    "Event": Events,
    "Condition": Conditions,
    "Barrier": Barriers,
}


def main(kind: str) -> None:
    """Die at every fail point once."""
    died, number = True, 0
    while died:
        number += 1
        scene = KINDS[kind]()

        def die(scene: Scene = scene, number: int = number) -> None:
            _core.join()
            _core.settle()
            _core.failpoint_arm(number)
            scene.die()
            _core.failpoint_arm(0)

        other = fork(scene.wait)
        died = ended(fork(die)) != 0
        if kind != "Barrier":
            scene.help(died)
            status = ended(other)
        else:
            status = ended(other)
            scene.help(died)
        _core.sweep()
        report = {"died": died, "other": status, "arena": _core.validate()}
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
