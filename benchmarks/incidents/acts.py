"""The incidents: each is brought about in an open subject, again and again, and timed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from time import perf_counter, process_time, sleep

from benchmarks.contract import NotOffered
from benchmarks.incidents.contract import Order, Overdue
from benchmarks.incidents.idleness import Spent, everybody_else, wakeups
from benchmarks.incidents.stage import PATIENCE, Stage, is_readable, meet, stay
from benchmarks.incidents.subjects import Subject

WARM_UP = 2
"""Incidents before those that count: a spare worker, say, may be made after the first."""

PAUSE = 0.05
"""Seconds of peace before each incident."""

TIMEOUT = 0.1
"""Seconds that a task may run."""

Figures = dict[str, list[float]]
Act = Callable[[Subject, Stage, Order], Figures]


def gather(subject: Subject, stage: Stage) -> float:
    """Wait until each worker has begun a task at the same time; when the last of them did."""
    tasks = [subject.submit(meet, stage.path, stage.releases) for _ in range(subject.workers)]
    met = [stage.next() for _ in tasks]
    if len({pid for pid, _ in met}) != len(tasks):
        raise RuntimeError("a worker ran two tasks at once")
    stage.release(len(tasks))
    for task in tasks:
        error = subject.failure(task)
        if error is not None:
            raise error
    return max(when for _, when in met)


def turns(order: Order) -> Iterator[bool]:
    """For each incident, whether it counts; ends when there were enough, or time is up."""
    end = perf_counter() + order.seconds
    for number in range(WARM_UP + order.count):
        if number > WARM_UP and perf_counter() > end:
            return
        yield number >= WARM_UP


def kill(subject: Subject, stage: Stage, order: Order) -> Figures:
    """A worker is killed while it runs a task."""
    found: Figures = {"reported": [], "ready": []}
    for counts in turns(order):
        gather(subject, stage)
        task = subject.submit(stay, stage.path)
        pid, _ = stage.next()
        sleep(PAUSE)
        begin = perf_counter()
        os.kill(pid, signal.SIGKILL)
        _must_fail(subject, task)
        reported = perf_counter() - begin
        subject.renew()
        ready = gather(subject, stage) - begin
        if counts:
            found["reported"].append(reported)
            found["ready"].append(ready)
    return found


def timeout(subject: Subject, stage: Stage, order: Order) -> Figures:
    """A task runs longer than it may."""
    found: Figures = {"reported": [], "ready": []}
    for counts in turns(order):
        gather(subject, stage)
        sleep(PAUSE)
        task = subject.limited(TIMEOUT, stay, stage.path)
        _, begun = stage.next()
        _must_fail(subject, task)
        deadline = begun + TIMEOUT
        reported = perf_counter() - deadline
        ready = gather(subject, stage) - deadline
        if counts:
            found["reported"].append(reported)
            found["ready"].append(ready)
    return found


def cancel(subject: Subject, stage: Stage, order: Order) -> Figures:
    """A running task is cancelled."""
    found: Figures = {"returned": [], "gone": [], "ready": []}
    for counts in turns(order):
        gather(subject, stage)
        task = subject.submit(stay, stage.path)
        pid, _ = stage.next()
        pidfd = os.pidfd_open(pid)
        try:
            sleep(PAUSE)
            begin = perf_counter()
            cancelled = subject.cancel(task)
            returned = perf_counter() - begin
            if not cancelled:
                raise NotOffered
            if not is_readable(pidfd, PATIENCE):
                raise Overdue(f"the cancelled task still runs after {PATIENCE:g} s")
            gone = perf_counter() - begin
        finally:
            os.close(pidfd)
        ready = gather(subject, stage) - begin
        if counts:
            found["returned"].append(returned)
            found["gone"].append(gone)
            found["ready"].append(ready)
    return found


def idle(subject: Subject, stage: Stage, order: Order) -> Figures:
    """Nothing happens. What the parent used in a thousand seconds, and what all others did."""
    gather(subject, stage)
    sleep(10 * PAUSE)  # whoever looks out for more work a little longer has given up
    before = Spent.by(everybody_else())
    woken = wakeups(os.getpid())
    begin, own = perf_counter(), process_time()  # at the very last: to look costs time, too
    sleep(order.seconds)
    own, taken = process_time() - own, perf_counter() - begin
    woken = wakeups(os.getpid()) - woken
    others = Spent.by(everybody_else()).since(before)
    return {
        "parent": [1000 * own / taken],
        "others": [1000 * sum(others.cpu.values()) / taken],
        "wakeups": [(woken + sum(others.wakeups.values())) / taken],
    }


def _must_fail(subject: Subject, task: object) -> None:
    if subject.failure(task) is None:
        raise RuntimeError("a task that never ends has returned")


ACTS: Mapping[str, Act] = {"kill": kill, "timeout": timeout, "cancel": cancel, "idle": idle}
