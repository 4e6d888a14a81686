"""Whatever waits runs Python's signal handlers at once; what one of them raises ends the wait."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from procession import context
from procession._launch import forkserver
from tests.lifetimes import victims
from tests.lifetimes.stages import Stage

_MAIN = threading.main_thread().ident or 0


class Interrupted(BaseException):
    """Raised by the handler. No Exception, as KeyboardInterrupt is none: many are made up for."""


def _interrupt(*_: object) -> None:
    raise Interrupted


Interrupt = Callable[[Callable[[], object], Callable[[], object]], None]


@pytest.fixture
def interrupt() -> Iterator[Interrupt]:
    """Interrupts a call when another, made in a thread meanwhile, has returned."""
    before = signal.signal(signal.SIGUSR1, _interrupt)
    begun = threading.Event()
    threads: list[threading.Thread] = []

    def check(call: Callable[[], object], until: Callable[[], object]) -> None:
        def strike() -> None:
            begun.wait()
            until()
            signal.pthread_kill(_MAIN, signal.SIGUSR1)

        thread = threading.Thread(target=strike, daemon=True)
        thread.start()
        try:
            begun.set()
            call()
        except Interrupted:
            threads.append(thread)
            return
        raise AssertionError("it ended by itself")

    yield check
    for thread in threads:
        thread.join()
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("method", victims.METHODS)
def test_join(method: str, stage: Stage, interrupt: Interrupt) -> None:
    mp: Any = context.get_context(method)
    child = mp.Process(target=victims.sleep, args=(stage,))
    child.start()
    interrupt(child.join, stage.arrival)
    assert child.exitcode is None
    child.kill()
    child.join()
    assert child.exitcode == -signal.SIGKILL


@pytest.mark.parametrize("method", victims.METHODS)
@pytest.mark.parametrize("call", ["map", "get", "join"])
def test_pools(method: str, call: str, stage: Stage, interrupt: Interrupt) -> None:
    mp: Any = context.get_context(method)
    with mp.Pool(1) as pool:
        result = pool.apply_async(victims.sleep, (stage,))
        if call == "map":
            stage.arrival()
            # The one worker is at the other task; but the call has been begun.
            interrupt(lambda: pool.map(victims.square, range(3)), lambda: None)
        elif call == "get":
            interrupt(result.get, stage.arrival)
        else:
            pool.close()
            interrupt(pool.join, stage.arrival)
            assert not result.ready()
    pool.join()


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A zygote is there, and stopped; set when somebody waits for its answer."""
    mp: Any = context.get_context("forkserver")
    first = mp.Process(target=int)
    first.start()
    first.join()
    first.close()
    zygote = forkserver.zygote_pid()
    assert zygote is not None
    os.kill(zygote, signal.SIGSTOP)
    os.waitid(os.P_PID, zygote, os.WSTOPPED)
    requested = threading.Event()
    request = forkserver._request

    def request_and_tell(*args: Any) -> None:
        request(*args)
        requested.set()

    monkeypatch.setattr(forkserver, "_request", request_and_tell)
    yield requested
    os.kill(zygote, signal.SIGCONT)


def test_start_with_a_stopped_zygote(
    stage: Stage, stopped: threading.Event, interrupt: Interrupt
) -> None:
    mp: Any = context.get_context("forkserver")
    child = mp.Process(target=stage.tell, args=("ran",))
    interrupt(child.start, stopped.wait)
    assert (child.pid, child.exitcode) == (None, None)
    zygote = forkserver.zygote_pid()
    assert zygote is not None
    os.kill(zygote, signal.SIGCONT)
    child.start()
    child.join()
    assert child.exitcode == 0
    assert stage.news() == "ran"
    assert not stage.has_news()  # the first time has left nothing


def test_a_pools_start_with_a_stopped_zygote(
    stopped: threading.Event, interrupt: Interrupt
) -> None:
    mp: Any = context.get_context("forkserver")
    interrupt(lambda: mp.Pool(2), stopped.wait)
    assert mp.active_children() == []
