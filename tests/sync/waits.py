"""Processes that wait at events, conditions and barriers: what they run, and how they are run."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from typing import Any, Self

from procession import _core

HARMLESS = signal.SIGUSR2
"""A signal that the processes here only tell of."""


def tell(call: Callable[[], object], reports: Any) -> None:
    """Report what it returns, or the name of what it raises."""
    try:
        reports.send(call())
    except BaseException as error:
        reports.send(type(error).__name__)


def wait(reports: Any, thing: Any, *timeout: float) -> None:
    """Wait once at an event or a barrier."""
    reports.send("about to")
    tell(lambda: thing.wait(*timeout), reports)


def wait_undisturbed(reports: Any, thing: Any) -> None:
    """The same, telling of a signal that comes meanwhile."""
    signal.signal(HARMLESS, lambda number, frame: reports.send("handled"))
    wait(reports, thing)


def wait_and_stay(reports: Any, thing: Any) -> None:
    """The same, and then be there until killed."""
    wait(reports, thing)
    while True:
        signal.pause()


def wait_twice(reports: Any, thing: Any) -> None:
    """Wait, and once more."""
    wait(reports, thing)
    wait(reports, thing)


def wait_having_lock(reports: Any, condition: Any, *timeout: float) -> None:
    """Wait once at a condition, in a block that has the lock."""

    def run() -> bool:
        with condition:
            reports.send("about to")
            notified: bool = condition.wait(*timeout)
            assert condition._lock._is_mine()
            return notified

    tell(run, reports)


def wait_and_be_interrupted_twice(reports: Any, condition: Any) -> None:
    """The same; of all signals, the first two raise."""
    interrupts = [KeyboardInterrupt, KeyboardInterrupt]

    def interrupt(number: int, frame: object) -> None:
        if interrupts:
            raise interrupts.pop()

    signal.signal(HARMLESS, interrupt)
    wait_having_lock(reports, condition)


def take_turns(reports: Any, condition: Any, turn: Any, mine: int, parties: int) -> None:
    """Count a shared number up by one whenever it is our turn, fifty times."""
    number = memoryview(turn)
    with condition:
        for _ in range(50):
            condition.wait_for(lambda: number[0] % parties == mine)
            number[0] = (number[0] + 1) % 256
            condition.notify_all()
    if reports is not None:
        reports.send("done")


def stay(reports: Any, *things: Any) -> None:
    """Be there until killed."""
    reports.send("there")
    while True:
        signal.pause()


def stay_with_lock(reports: Any, lock: Any) -> None:
    """Take a lock and keep it until killed."""
    lock.acquire()
    stay(reports)


def set_and_clear(reports: Any, event: Any) -> None:
    """Set an event, and clear it at once."""
    event.set()
    event.clear()
    reports.send("done")


def notify_all(reports: Any, condition: Any) -> None:
    """Notify all that wait."""
    with condition:
        condition.notify_all()
    reports.send("done")


def meet(reports: Any, barrier: Any, rounds: int) -> None:
    """Come to a barrier so often; the sum of the numbers that it gave us."""
    reports.send(sum(barrier.wait() for _ in range(rounds)))


class Acting:
    """An action that dies in the process that is not `survivor`, and tells before."""

    def __init__(self, reports: Any, survivor: int) -> None:
        self.reports = reports
        self.survivor = survivor

    def __call__(self) -> None:
        if os.getpid() != self.survivor:
            self.reports.send("acts")
            os.kill(os.getpid(), signal.SIGKILL)


class Member:
    """A process of the crew, and what it reports."""

    def __init__(self, ctx: Any, target: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        self.reports, theirs = ctx.Pipe(duplex=False)
        self.process = ctx.Process(target=target, args=(theirs, *arguments))
        self.process.start()
        theirs.close()

    def report(self) -> Any:
        """The next one; EOFError if it ended."""
        return self.reports.recv()

    def stands_at(self) -> list[int]:
        """The numbers of the things that its threads wait for."""
        spots = _core.census(_core.arena_descriptor())[4]
        return [spot[0] for spot in spots if spot[2] == self.process.pid]

    def until_waiting(self) -> None:
        """Return when it said that it is about to wait, and does."""
        assert self.report() == "about to"
        while not self.stands_at():
            os.sched_yield()

    def kill(self) -> None:
        """SIGKILL it; it is dead when this returns."""
        self.process.kill()
        self.process.join()

    def stop(self) -> None:
        """SIGSTOP it; it is stopped when this returns."""
        assert self.process.pid is not None
        os.kill(self.process.pid, signal.SIGSTOP)
        while state_of(self.process.pid) not in "Tt":
            os.sched_yield()

    def ended(self) -> int | None:
        """Wait for its end; its exit code."""
        self.process.join()
        code: int | None = self.process.exitcode
        return code


def state_of(pid: int) -> str:
    """The letter that the kernel has for what a process does."""
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0]


class Crew:
    """Processes under one context; those that are left are killed at its end."""

    def __init__(self, ctx: Any) -> None:
        self.ctx = ctx
        self._members: list[Member] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for member in self._members:
            member.kill()
            member.process.close()
            member.reports.close()

    def start(self, target: Callable[..., object], *arguments: Any) -> Member:
        """Start one that runs target(reports, *arguments)."""
        member = Member(self.ctx, target, arguments)
        self._members.append(member)
        return member

    def waiting(self, target: Callable[..., object], *arguments: Any) -> Member:
        """Start one that has begun to wait when this returns."""
        member = self.start(target, *arguments)
        member.until_waiting()
        return member


@contextlib.contextmanager
def interrupted_when(is_waiting: Callable[[], bool]) -> Any:
    """Have this process get a SIGINT as soon as the condition holds, from another process."""
    pid = os.getpid()
    child = _core.fork()
    if child == 0:
        try:
            while not is_waiting():
                os.sched_yield()
            os.kill(pid, signal.SIGINT)
        finally:
            os._exit(0)
    try:
        yield
    finally:
        os.waitpid(child, 0)


def is_waiting_here(pid: int) -> Callable[[], bool]:
    """Whether a thread of the process stands somewhere; to be asked in another one."""
    descriptor = _core.arena_descriptor()
    return lambda: any(spot[2] == pid for spot in _core.census(descriptor)[4])
