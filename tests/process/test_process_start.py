"""A start that fails or is interrupted: nothing is left, or a child that is known."""

from __future__ import annotations

import _thread
import itertools
import os
import select
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

import procession
from procession import process
from procession._launch import fork, handle
from procession.pool_worker import launch_worker
from tests.plugins.procfs import Tree
from tests.plugins.scripts import LIMIT, RunScript

_HEAD = """
import errno, os, signal, sys, threading
from procession import _core, context
from procession._launch import fork, handle, lifeline
mp = context.get_context("fork")
def no_child_is_left():
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return mp.active_children() == []
    return False
"""


def test_without_descriptors_nothing_is_started_and_nothing_left(run_script: RunScript) -> None:
    """From no descriptor at all to enough of them: before and after the lifeline is made."""
    result = run_script(
        _HEAD
        + """
import resource
limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
def count():
    return len(os.listdir("/proc/self/fd"))
def attempt(spare):
    process = mp.Process(target=sys.exit, args=(7,))
    free = os.dup(0)
    os.close(free)
    before = count()
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + spare, most))
    try:
        process.start()
    except OSError as error:
        outcome = errno.errorcode[error.errno]
        assert process.pid is None and not process.is_alive()
    else:
        process.join()
        outcome = process.exitcode
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, most))
    process.close()
    assert no_child_is_left()
    return outcome, count() - before
print([attempt(spare) for spare in range(5)])
print([attempt(spare) for spare in range(5)])
"""
    )
    refused, done = ("EMFILE", 0), (7, 0)
    assert result.stderr == ""
    assert result.stdout.splitlines() == [
        # The third attempt has made the lifeline, and the fourth the arena, which stay.
        str([refused, refused, ("EMFILE", 2), (7, 1), done]),
        str([refused, done, done, done, done]),
    ]


def test_a_start_that_the_system_refuses_can_be_tried_again(run_script: RunScript) -> None:
    result = run_script(
        _HEAD
        + """
real = fork.fork_process
def refuse():
    raise BlockingIOError(errno.EAGAIN, "no room for a process")
process = mp.Process(target=sys.exit, args=(7,))
assert mp.active_children() == []
lifeline.hold()
_core.join()
before = os.listdir("/proc/self/fd")
fork.fork_process = refuse
try:
    process.start()
except BlockingIOError:
    print("refused", process.pid, no_child_is_left(), os.listdir("/proc/self/fd") == before)
print(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
fork.fork_process = real
process.start()
process.join()
print(process.exitcode)
"""
    )
    assert (result.stdout, result.stderr) == ("refused None True True\nset()\n7\n", "")


def test_ctrl_c_after_the_fork_finds_a_child_that_is_known(run_script: RunScript) -> None:
    result = run_script(
        _HEAD
        + """
real = fork.fork_process
def fork_and_interrupt():
    pid = real()
    if pid:
        os.kill(os.getpid(), signal.SIGINT)
    return pid
fork.fork_process = fork_and_interrupt
read, write = os.pipe()
process = mp.Process(target=os.read, args=(read, 1))
try:
    process.start()
    print("not interrupted")
except KeyboardInterrupt:
    print(process.is_alive(), mp.active_children() == [process])
os.write(write, b"x")
process.join()
print(process.exitcode)
"""
    )
    assert (result.stdout, result.stderr) == ("True True\n0\n", "")


def test_ctrl_c_before_a_child_is_in_order_is_its_own(run_script: RunScript) -> None:
    """It must not run away with its copy of the parent's program."""
    result = run_script(
        _HEAD
        + """
real = fork.fork_process
def fork_and_interrupt():
    pid = real()
    if not pid:
        os.kill(os.getpid(), signal.SIGINT)
    return pid
fork.fork_process = fork_and_interrupt
process = mp.Process(target=print, args=("ran",), name="child")
try:
    process.start()
except KeyboardInterrupt:
    print("ran away")
process.join()
print(process.exitcode)
"""
    )
    assert result.stdout == "1\n"
    assert result.stderr.startswith("Process child:\nTraceback (most recent call last):\n")
    assert result.stderr.endswith("\nKeyboardInterrupt\n")


def test_an_interrupt_that_another_thread_took_leaves_no_child(run_script: RunScript) -> None:
    result = run_script(
        _HEAD
        + """
def interrupt(pid):
    os.kill(os.getpid(), signal.SIGINT)  # this thread holds it back, the other takes it
    while True:
        signal.pthread_sigmask(signal.SIG_BLOCK, ())  # runs the handlers that are due
handle._open_sentinel = interrupt
done = threading.Event()
thread = threading.Thread(target=done.wait)
thread.start()
process = mp.Process(target=signal.pause)
try:
    process.start()
except KeyboardInterrupt:
    print(process.pid, no_child_is_left(), signal.pthread_sigmask(signal.SIG_BLOCK, ()))
done.set()
"""
    )
    assert (result.stdout, result.stderr) == ("None True set()\n", "")


def test_a_signal_handler_may_start_a_process_in_the_middle_of_a_start(
    run_script: RunScript,
) -> None:
    result = run_script(
        _HEAD
        + """
started = []
def start():
    process = mp.Process(target=sys.exit, args=(len(started),))
    started.append(process)
    process.start()
signal.signal(signal.SIGUSR1, lambda *_: start())
make_pipe = lifeline._pipe
def make_pipe_and_signal():
    lifeline._pipe = make_pipe
    pipe = make_pipe()
    signal.raise_signal(signal.SIGUSR1)
    return pipe
lifeline._pipe = make_pipe_and_signal
real = fork.fork_process
def fork_and_signal():
    fork.fork_process = real
    pid = real()
    if pid:
        signal.raise_signal(signal.SIGUSR1)
    return pid
start()
fork.fork_process = fork_and_signal
start()
for process in started:
    process.join()
print([process.exitcode for process in started], no_child_is_left())
print(sum("pipe" in os.readlink(f.path) for f in os.scandir("/proc/self/fd") if int(f.name) > 2))
"""
    )
    assert (result.stdout, result.stderr) == ("[0, 1, 2, 3] True\n2\n", "")


def test_ctrl_c_ends_a_join_but_not_the_child(run_script: RunScript) -> None:
    result = run_script(
        _HEAD
        + """
read, write = os.pipe()
parent = os.getpid()
def child():
    os.read(read, 1)
    state = None
    while state != "S":  # from here on only join() makes it sleep
        with open(f"/proc/{parent}/stat") as file:
            state = file.read().rpartition(")")[2].split()[0]
    os.kill(parent, signal.SIGINT)
    signal.pause()
process = mp.Process(target=child)
process.start()
try:
    os.write(write, b"x")
    process.join()
except KeyboardInterrupt:
    print(process.is_alive(), process.exitcode)
process.terminate()
process.join()
print(process.exitcode)
"""
    )
    assert (result.stdout, result.stderr) == ("True None\n-15\n", "")


def test_the_child_has_the_signal_mask_of_its_parent(mp: Any) -> None:
    def check() -> None:
        expected = {signal.SIGUSR1, signal.SIGTERM}
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == expected

    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert not before
    signal.pthread_sigmask(signal.SIG_SETMASK, [signal.SIGUSR1, signal.SIGTERM])
    try:
        process = mp.Process(target=check)
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    process.join(LIMIT)
    assert process.exitcode == 0


def test_signals_to_a_child_do_not_wake_the_event_loop_of_its_parent(
    run_script: RunScript,
) -> None:
    result = run_script(
        _HEAD
        + """
signal.signal(signal.SIGUSR1, lambda *_: None)
read, write = os.pipe()
os.set_blocking(read, False)
os.set_blocking(write, False)
signal.set_wakeup_fd(write)
process = mp.Process(target=signal.raise_signal, args=(signal.SIGUSR1,))
process.start()
process.join()
print(process.exitcode, signal.set_wakeup_fd(-1) == write)
try:
    print(os.read(read, 10))
except BlockingIOError:
    print("not woken")
"""
    )
    assert (result.stdout, result.stderr) == ("0 True\nnot woken\n", "")


@pytest.mark.parametrize(
    "prepare",
    [
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN); process.start()",
        "process.start(); os.waitpid(process.pid, 0)",
    ],
)
def test_a_status_that_was_taken_by_others_does_not_hang_anybody(
    run_script: RunScript, prepare: str
) -> None:
    result = run_script(
        _HEAD
        + f"""
process = mp.Process(target=os._exit, args=(7,))
{prepare}
process.join()
print(process.exitcode in (7, handle.STATUS_LOST), process.is_alive(), no_child_is_left())
process.terminate()
process.close()
"""
    )
    assert (result.stdout, result.stderr) == ("True False True\n", "")


def test_the_next_start_reaps_those_that_have_ended(mp: Any) -> None:
    first = mp.Process()
    first.start()
    os.waitid(os.P_PID, first.pid, os.WEXITED | os.WNOWAIT)
    second = mp.Process()
    second.start()
    second.join(LIMIT)
    with pytest.raises(ChildProcessError):
        os.waitpid(first.pid, os.WNOHANG)
    assert first.exitcode == 0


def _kept() -> set[int | None]:
    return {child.pid for child in process._children}


def test_a_worker_whose_end_is_known_is_kept_no_longer() -> None:
    worker = launch_worker(lambda: 3)
    assert worker.pid in _kept()
    assert worker.wait(LIMIT) == 3
    assert worker.pid not in _kept()


def test_a_worker_that_is_given_up_is_reaped_by_a_later_start() -> None:
    gate, open_gate = os.pipe()
    worker = launch_worker(lambda: len(os.read(gate, 1)))
    own = os.pidfd_open(worker.pid)
    worker.close()
    assert worker.pid not in _kept()
    assert worker.poll() == handle.STATUS_LOST
    os.write(open_gate, b"x")
    assert select.select([own], [], [], LIMIT)[0]
    launch_worker(lambda: 0).wait(LIMIT)
    with pytest.raises(ChildProcessError):
        os.waitpid(worker.pid, os.WNOHANG)
    for fd in (own, gate, open_gate):
        os.close(fd)


def test_who_closes_reaps_what_another_thread_has_only_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worker = launch_worker(lambda: 3)
    assert select.select([worker.sentinel], [], [], LIMIT)[0]
    with monkeypatch.context() as patched:  # that thread is stopped between the two
        patched.setattr(handle, "_take_status", lambda _: False)
        assert worker.poll() == 3
    worker.close()
    with pytest.raises(ChildProcessError):
        os.waitpid(worker.pid, os.WNOHANG)


class Interrupt(BaseException):
    """What the handler below raises."""


def _interrupts(*_: object) -> None:
    raise Interrupt


def _with_a_signal_behind(function: Any, arguments: Any) -> Iterator[Any]:
    """starmap(); then, before any other line runs, a signal that another thread took."""
    signals = map(_thread.interrupt_main, [signal.SIGUSR1])
    return itertools.chain(itertools.starmap(function, arguments), filter(None, signals))


@pytest.mark.usefixtures("keeps_handlers")
def test_a_handler_that_runs_right_behind_the_fork_leaves_no_child(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fork, "starmap", _with_a_signal_behind)
    signal.signal(signal.SIGUSR1, _interrupts)
    child = procession.get_context("fork").Process(target=time.sleep, args=(LIMIT,))
    before = Tree.now().below(os.getpid())
    with pytest.raises(Interrupt):
        child.start()
    assert Tree.now().below(os.getpid()) == before
