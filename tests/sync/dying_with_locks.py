"""A program with fail points: a process uses locks and dies at its n-th one; another goes on.

    python dying_with_locks.py KIND

For n = 1, 2, 3 ... a forked child uses a lock (KIND: Lock, RLock, Semaphore) in all ways, and dies
at the n-th fail point that it passes, while a thread of ours uses it, too. It prints a line of JSON
for each n, until nobody died.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Any

from procession import _core
from procession._sync import locks
from procession.errors.sync import OwnerDied


def use(lock: Any) -> None:
    """Take and release it, once and recursively, with and without waiting."""
    for arguments in ((), (False,), (True, 5)):
        if lock.acquire(*arguments):
            lock.release()
    if isinstance(lock, locks.RLock):
        with lock, lock:
            pass
    elif isinstance(lock, locks.Semaphore):
        with lock:
            assert not lock.acquire(timeout=0.001)


def use_until(lock: Any, done: threading.Event, outcomes: dict[str, int]) -> None:
    """Use it beside the child; recover it when told of its death."""
    while not done.is_set():
        try:
            with lock:
                outcomes["used"] += 1
        except OwnerDied as error:
            outcomes["told"] += 1
            outcomes["named"] += error.pid == outcomes["child"]
            outcomes["recovered"] += lock.recover()
            if not isinstance(lock, locks.Semaphore):
                lock.release()


def make(kind: str) -> Any:
    """A fresh lock of a kind."""
    return getattr(locks, kind)()


def check_usable(lock: Any) -> bool:
    """Whether it is as when it was made."""
    if isinstance(lock, locks.Semaphore):
        lock.recover()  # one that died having it need not have been met
        return lock.get_value() == 1
    if lock.recover():
        lock.release()
    taken: bool = lock.acquire(False)
    if taken:
        lock.release()
    return taken


def main(kind: str) -> None:
    """Die at every fail point once."""
    died, number = True, 0
    while died:
        number += 1
        lock, done = make(kind), threading.Event()
        outcomes = dict.fromkeys(("used", "told", "named", "recovered"), 0)
        pid = _core.fork()
        if pid == 0:
            lock.acquire(False) and lock.release()  # it joins the family
            _core.failpoint_arm(number)
            use(lock)
            _core.failpoint_arm(0)
            os._exit(0)
        outcomes["child"] = pid
        thread = threading.Thread(target=use_until, args=(lock, done, outcomes))
        thread.start()
        died = os.waitpid(pid, 0)[1] != 0
        used = outcomes["used"] + outcomes["told"]
        while outcomes["used"] + outcomes["told"] == used:
            os.sched_yield()  # it goes on after the death
        done.set()
        thread.join()
        report = {**outcomes, "died": died, "usable": check_usable(lock)}
        _core.sweep()
        print(json.dumps({**report, "arena": _core.validate()}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
