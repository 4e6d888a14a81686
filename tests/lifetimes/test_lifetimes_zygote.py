"""The zygote's life: it may be killed, stopped, and asked by many at once, and nothing is lost."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from procession import context
from procession._launch import forkserver, handle, settings
from tests.lifetimes import victims
from tests.lifetimes.conftest import Pidfd, StartProgram
from tests.lifetimes.stages import Stage
from tests.lifetimes.zygotes import spare_of
from tests.plugins.scripts import LIMIT

MP: Any = context.get_context("forkserver")
_SIGNALS = [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV]


def _zygote() -> int:
    pid = forkserver.zygote_pid()
    assert pid is not None
    return pid


@pytest.fixture
def zygote() -> int:
    """The pid of a zygote that serves."""
    _run(os.getpid)
    return _zygote()


def _run(target: Callable[..., object], *args: object) -> int | None:
    process = MP.Process(target=target, args=args)
    process.start()
    process.join(LIMIT)
    code: int | None = process.exitcode
    process.close()
    return code


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    """Runs something in another thread."""
    with ThreadPoolExecutor(8) as executor:
        yield executor


@pytest.fixture
def requested(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when a request has been made, and its answer is waited for."""
    event = threading.Event()
    request = forkserver._request

    def request_and_tell(*args: Any) -> None:
        request(*args)
        event.set()

    monkeypatch.setattr(forkserver, "_request", request_and_tell)
    return event


def _stop(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED)


def _end(pid: int, signum: int) -> None:
    """Signal a process, and see it end (and stay a zombie, if nobody reaps it)."""
    fd = os.pidfd_open(pid)
    os.kill(pid, signum)
    assert select.select([fd], [], [], LIMIT)[0]
    os.close(fd)


def _kernel_remembers() -> bool:
    """Whether the kernel tells the exit code of a process that somebody else has reaped."""
    pid = os.fork()
    if pid == 0:
        os._exit(3)
    fd = os.pidfd_open(pid)
    os.waitpid(pid, 0)
    code = handle.lost_status(fd)
    os.close(fd)
    return code == 3


@pytest.mark.parametrize("signum", _SIGNALS)
def test_killed_while_idle(zygote: int, signum: int, stage: Stage) -> None:
    ends, stays = (MP.Process(target=victims.reach, args=(stage,)) for _ in range(2))
    ends.start()
    stays.start()
    assert {stage.arrival(), stage.arrival()} == {ends.pid, stays.pid}
    _end(zygote, signum)
    stage.say("exit")
    ready = select.select([ends.sentinel, stays.sentinel], [], [], LIMIT)[0]
    code = 7 if _kernel_remembers() else handle.STATUS_LOST
    first, second = (ends, stays) if ready == [ends.sentinel] else (stays, ends)
    first.join()
    assert first.exitcode == code
    assert _run(os.getpid) == 0
    assert _zygote() != zygote
    assert not os.path.exists(f"/proc/{zygote}")  # no zombie either
    assert second.is_alive()
    second.terminate()
    second.join()
    assert second.exitcode in (-signal.SIGTERM, handle.STATUS_LOST)


@pytest.mark.parametrize("signum", _SIGNALS)
def test_killed_while_starting(
    signum: int,
    stage: Stage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    thread: ThreadPoolExecutor,
) -> None:
    (tmp_path / "preloaded_slowly.py").write_text(
        "from pathlib import Path\nfrom tests.lifetimes.stages import known_by_path\n"
        f"known_by_path(Path({str(stage.path)!r})).reach()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(settings, "_preload", ["preloaded_slowly"])
    child = MP.Process(target=stage.tell, args=("ran",))
    started = thread.submit(child.start)
    _end(stage.arrival(), signum)
    second = stage.arrival()
    stage.say("go")
    started.result(LIMIT)
    child.join()
    assert child.exitcode == 0
    assert _zygote() == second
    assert stage.news() == "ran"
    assert not stage.has_news()


@pytest.mark.parametrize("signum", _SIGNALS)
def test_killed_with_requests_in_flight(
    zygote: int,
    signum: int,
    stage: Stage,
    requested: threading.Event,
    thread: ThreadPoolExecutor,
) -> None:
    _stop(zygote)
    children = [MP.Process(target=stage.tell, args=(number,)) for number in range(3)]
    started = [thread.submit(child.start) for child in children]
    assert requested.wait(LIMIT)
    os.kill(zygote, signum)
    os.kill(zygote, signal.SIGCONT)  # only SIGKILL reaches who is stopped
    for future in started:
        future.result(LIMIT)
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0, 0]
    assert sorted(stage.news() for _ in children) == ["0", "1", "2"]
    assert not stage.has_news()


def test_killed_again_and_again(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "preloaded_fatally.py").write_text(
        "import os\nfrom pathlib import Path\nfrom tests.lifetimes.stages import known_by_path\n"
        f"known_by_path(Path({str(stage.path)!r})).tell(os.getpid())\nos._exit(3)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(settings, "_preload", ["preloaded_fatally"])
    child = MP.Process(target=os.getpid)
    with pytest.raises(OSError, match="4 fork servers, or children of theirs, in a row ended"):
        child.start()
    assert len({stage.arrival() for _ in range(forkserver.ATTEMPTS)}) == forkserver.ATTEMPTS
    assert not stage.has_news()
    assert child.exitcode is None
    assert child.pid is None
    assert forkserver.zygote_pid() is None
    monkeypatch.setattr(settings, "_preload", [])
    assert _run(os.getpid) == 0


def test_stopped_for_a_while_it_loses_nothing(
    zygote: int, stage: Stage, requested: threading.Event, thread: ThreadPoolExecutor
) -> None:
    ends = MP.Process(target=victims.reach, args=(stage,))
    ends.start()
    stage.arrival()
    _stop(zygote)
    stage.say("exit")
    ends.join()
    assert ends.exitcode == 7  # although it is not reaped yet
    requested.clear()
    late = MP.Process(target=stage.tell, args=("ran",))
    started = thread.submit(late.start)
    assert requested.wait(LIMIT)
    assert not started.done()
    os.kill(zygote, signal.SIGCONT)
    started.result(LIMIT)
    late.join()
    assert late.exitcode == 0
    assert _zygote() == zygote
    assert stage.news() == "ran"
    assert not stage.has_news()


def test_many_threads_ask_at_once(thread: ThreadPoolExecutor, stage: Stage) -> None:
    """Also for the zygote itself: none is there."""
    children = [MP.Process(target=stage.tell, args=(number,)) for number in range(24)]
    list(thread.map(lambda child: child.start(), children))
    for child in children:
        child.join(LIMIT)
    assert [child.exitcode for child in children] == [0] * 24
    assert sorted(int(stage.news()) for _ in children) == list(range(24))


def test_more_requests_than_a_stopped_zygotes_door_holds(
    zygote: int, thread: ThreadPoolExecutor
) -> None:
    _stop(zygote)
    lines = []
    asking, _ = forkserver._zygote.reach()
    with asking:
        asking.setblocking(False)
        poll = select.poll()
        poll.register(asking, select.POLLOUT)
        while poll.poll(0):
            ours, its = handle.private_pair()
            lines.append(ours)
            with its:
                socket.send_fds(asking, [b"child"], [its.fileno()])
    started: Future[int | None] = thread.submit(_run, os.getpid)
    for line in lines:
        line.close()  # nobody wants these any more
    os.kill(zygote, signal.SIGCONT)
    assert started.result(LIMIT) == 0
    assert _zygote() == zygote


def _ask_in_a_copy(stage: Stage, kills: bool) -> None:
    assert forkserver.zygote_pid() is None  # it is another's
    if kills:
        stage.reach()
    code = _run(stage.tell, "ran")
    own = forkserver.zygote_pid()
    stage.tell("its own" if own else "the family's")
    raise SystemExit(code)


@pytest.mark.parametrize("kills", [False, True])
def test_a_forked_child_asks(zygote: int, stage: Stage, kills: bool) -> None:
    """The family's zygote; or if that is dead, one of its own."""
    child = context.get_context("fork").Process(target=_ask_in_a_copy, args=(stage, kills))
    child.start()
    if kills:
        stage.arrival()
        _end(zygote, signal.SIGKILL)
        stage.say("go")
    assert stage.news() == "ran"
    assert stage.news() == ("its own" if kills else "the family's")
    child.join(LIMIT)
    assert child.exitcode == 0
    child.close()


@pytest.mark.parametrize("stopped", [False, True])
def test_a_child_that_dies_before_it_has_said_who_it_is(
    zygote: int,
    stopped: bool,
    stage: Stage,
    requested: threading.Event,
    thread: ThreadPoolExecutor,
) -> None:
    """The zygote keeps one ready; another is taken in its place, and nothing runs twice."""
    while (spare := spare_of(zygote)) is None:
        os.sched_yield()
    os.kill(spare, signal.SIGSTOP if stopped else signal.SIGKILL)
    requested.clear()
    child = MP.Process(target=stage.tell, args=("ran",))
    started = thread.submit(child.start)
    assert requested.wait(LIMIT)
    if stopped:
        os.kill(spare, signal.SIGKILL)
    started.result(LIMIT)
    child.join()
    assert child.exitcode == 0
    assert child.pid != spare
    assert _zygote() == zygote
    assert stage.news() == "ran"
    assert not stage.has_news()


@pytest.mark.parametrize("taken", [True, False])
def test_a_child_that_dies_before_it_is_told_to_go_on(
    zygote: int, taken: bool, monkeypatch: pytest.MonkeyPatch, stage: Stage
) -> None:
    """It counts as started, and its exit code is known."""
    adopt = context.ForkServerProcess._adopt

    def strike(self: context.ForkServerProcess, child: Any) -> None:
        adopt(self, child)
        os.kill(child.pid, signal.SIGKILL if taken else signal.SIGSTOP)

    monkeypatch.setattr(context.ForkServerProcess, "_adopt", strike)
    child = MP.Process(target=stage.tell, args=("ran",))
    child.start()
    if not taken:
        child.kill()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert not stage.has_news()


_PROGRAM = """
import os, sys
from pathlib import Path
from procession import context
from procession._launch import forkserver
from tests.lifetimes.stages import known_by_path
stage = known_by_path(Path(sys.argv[1]))
if __name__ == "__main__":
    mp = context.get_context("forkserver")
    def run():
        process = mp.Process(target=os.getpid)
        process.start()
        process.join()
        assert process.exitcode == 0
    run()
    stage.tell(forkserver.zygote_pid())
"""


@pytest.mark.parametrize("end", ["pass", "sys.exit(1)", "os._exit(1)", "os.kill(os.getpid(), 9)"])
def test_it_ends_with_the_program(
    end: str, stage: Stage, start_program: StartProgram, pidfd: Pidfd
) -> None:
    program = start_program(_PROGRAM + f"    stage.wait()\n    {end}\n", stage.path)
    zygote = pidfd(stage.arrival())
    assert not select.select([zygote], [], [], 0)[0]
    stage.say("go")
    program.wait(LIMIT)
    assert select.select([zygote], [], [], LIMIT)[0]


def test_a_program_that_has_closed_the_door_gets_another(
    stage: Stage, start_program: StartProgram, pidfd: Pidfd
) -> None:
    program = start_program(
        _PROGRAM
        + """
    stage.wait()
    from procession._launch import door
    os.close(door.way().fd)  # as a daemon does
    files = [open(os.devnull) for _ in range(8)]  # on numbers that were ours
    run()
    print([file.read() for file in files])
    stage.tell(forkserver.zygote_pid())
""",
        stage.path,
        stdout=subprocess.PIPE,
    )
    first = stage.arrival()
    ended = pidfd(first)
    stage.say("go")
    assert stage.arrival() != first
    assert select.select([ended], [], [], LIMIT)[0]
    assert program.wait(LIMIT) == 0
    assert program.stdout is not None
    assert program.stdout.read().decode() == f"{[''] * 8}\n"
