"""A latch: waited for by any number, whoever opens it."""

from __future__ import annotations

import os
import signal
import threading

from procession._threads import Latch
from tests.plugins.scripts import LIMIT


def _await(latch: Latch) -> None:
    while not latch.wait():
        pass


def test_it_is_open_for_good() -> None:
    latch = Latch()
    assert not latch.wait()
    latch.open()
    for _ in range(3):
        assert latch.wait()


def test_all_who_wait_go_on() -> None:
    latch = Latch()
    threads = [threading.Thread(target=_await, args=(latch,)) for _ in range(5)]
    for thread in threads:
        thread.start()
    latch.open()
    for thread in threads:
        thread.join(LIMIT)
        assert not thread.is_alive()


def test_a_signal_handler_waits_within_a_wait(keeps_handlers: None) -> None:
    handled = 0

    def handle(number: int, frame: object) -> None:
        nonlocal handled
        _await(current)
        handled += 1

    current = Latch()
    current.open()
    signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
    while handled < 100:
        latch = Latch()
        thread = threading.Thread(target=latch.open)
        thread.start()
        current = latch  # from here on the thread opens it whatever this one does
        _await(latch)
        thread.join(LIMIT)


def test_in_a_fork_nobody_opens_it() -> None:
    latch = Latch()
    pid = os.fork()
    if pid == 0:
        os._exit(0 if latch.wait() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
