"""Children die with their parent: in whatever way it ends, at once, whatever they are doing."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from procession import context
from procession._launch import lifeline
from tests.plugins.scripts import LIMIT, RunScript, script_environment

# Programs print a line of pids of processes that then run for ever.
_HEAD = """
import os, re, signal, sys, threading
from procession import context, process
mp = context.get_context("fork")
def tell():
    os.write(1, f"{os.getpid()}\\n".encode())
def pause():
    tell()
    while True:
        signal.pause()
def compute():  # in C, never letting go of the interpreter
    tell()
    re.match(r"(a+)+b", "a" * 64)
def middle():
    mp.Process(target=compute).start()
    pause()
"""

_TREE = (
    _HEAD
    + """
for target in (pause, compute, middle):
    mp.Process(target=target).start()
"""
)


@contextmanager
def _family(tmp_path: Path, text: str, count: int) -> Iterator[tuple[int, list[int]]]:
    """Run a program; yields its pid and pidfds of the `count` processes that it names."""
    program = tmp_path / "program.py"
    program.write_text(text)
    running = subprocess.Popen(
        [sys.executable, program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=script_environment(),
    )
    assert running.stdin is not None
    assert running.stdout is not None
    descriptors: list[int] = []
    pids = (int(running.stdout.readline()) for _ in range(count))
    try:
        descriptors.extend(map(os.pidfd_open, pids))  # one by one: a late failure keeps the first
        yield running.pid, descriptors
    finally:
        running.kill()
        for fd in descriptors:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(fd, signal.SIGKILL)
            os.close(fd)
        running.wait(LIMIT)
        running.stdin.close()
        running.stdout.close()


def _have_ended(descriptors: list[int]) -> bool:
    return all(select.select([fd], [], [], LIMIT)[0] for fd in descriptors)


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_all_descendants_go_with_the_parent(tmp_path: Path, signum: int) -> None:
    text = _TREE + "signal.pause()"
    with _family(tmp_path, text, count=4) as (parent, descriptors):
        assert not select.select(descriptors, [], [], 0)[0]
        os.kill(parent, signum)
        assert _have_ended(descriptors)


@pytest.mark.parametrize("end", ["os._exit(0)", "os.execv('/bin/sleep', ['sleep', '600'])"])
def test_all_descendants_go_when_the_program_does(tmp_path: Path, end: str) -> None:
    text = _TREE + f"read = os.read(0, 1)\n{end}"
    with _family(tmp_path, text, count=4) as (parent, descriptors):
        assert not select.select(descriptors, [], [], 0)[0]
        Path(f"/proc/{parent}/fd/0").write_text("x")
        assert _have_ended(descriptors)


def test_a_child_outlives_the_thread_that_started_it(run_script: RunScript) -> None:
    result = run_script(
        _HEAD
        + """
read, write = os.pipe()
def child():
    os.read(read, 1)
    print("alive")
thread = threading.Thread(target=lambda: mp.Process(target=child).start())
thread.start()
thread.join()
os.write(write, b"x")
"""
    )
    assert (result.returncode, result.stdout) == (0, "alive\n")


def test_the_end_of_a_sibling_or_of_any_other_copy_does_not_matter(run_script: RunScript) -> None:
    result = run_script(
        _HEAD
        + """
import subprocess
read, write = os.pipe()
def child():
    os.read(read, 1)
    print("alive")
first = mp.Process(target=child)
first.start()
second = mp.Process()
second.start()
second.join()
pid = os.fork()
if pid == 0:
    os._exit(0)
os.waitpid(pid, 0)
subprocess.run(["true"], check=True)
os.write(write, b"x")
first.join()
print(first.exitcode)
"""
    )
    assert (result.returncode, result.stdout) == (0, "alive\n0\n")


def test_a_copy_made_by_os_fork_does_not_keep_the_family_alive(tmp_path: Path) -> None:
    text = (
        _HEAD
        + """
mp.Process(target=compute).start()
if os.fork() == 0:
    pause()
signal.pause()
"""
    )
    with _family(tmp_path, text, count=2) as (parent, descriptors):
        os.kill(parent, signal.SIGKILL)
        # One of the two is the copy: no process of ours, it stays, as it does without us.
        ended, _, _ = select.select(descriptors, [], [], LIMIT)
        assert len(ended) == 1


def test_a_child_that_watches_its_parent_gets_a_grace(tmp_path: Path) -> None:
    text = (
        _HEAD
        + """
def watcher():
    parent = mp.parent_process()
    assert parent.is_alive()
    tell()
    parent.join()
    os.write(1, f"{parent.is_alive()}\\n".encode())
    signal.pause()
def middle():
    mp.Process(target=watcher).start()
    pause()
mp.Process(target=middle).start()
signal.pause()
"""
    )
    program = tmp_path / "program.py"
    program.write_text(text)
    running = subprocess.Popen(
        [sys.executable, program], stdout=subprocess.PIPE, env=script_environment()
    )
    assert running.stdout is not None
    pids = [int(running.stdout.readline()) for _ in range(2)]
    descriptors = [os.pidfd_open(pid) for pid in pids]
    parents = {pid: int(Path(f"/proc/{pid}/stat").read_text().split()[3]) for pid in pids}
    middle = next(pid for pid in pids if parents[pid] == running.pid)
    os.kill(middle, signal.SIGKILL)
    assert running.stdout.readline() == b"False\n"
    assert _have_ended(descriptors)
    for fd in descriptors:
        os.close(fd)
    running.kill()
    running.wait(LIMIT)
    running.stdout.close()


def test_the_pipe_is_made_anew_if_the_program_closed_it(run_script: RunScript) -> None:
    result = run_script(
        _HEAD
        + """
first = mp.Process()
first.start()
first.join()
first.close()
os.closerange(3, 100)  # as a daemon does
files = [open(os.devnull) for _ in range(8)]  # on the numbers that were the pipe's
def child():
    print([file.read() for file in files])
child = mp.Process(target=child)
child.start()
child.join()
print(child.exitcode)
"""
    )
    assert result.stdout.splitlines() == [str([""] * 8), "0"]


def test_without_a_lifeline_there_is_nothing_to_watch() -> None:
    with pytest.raises(ValueError, match="no lifeline"):
        lifeline.watch_parent()


@pytest.mark.parametrize("in_thread", [False, True])
def test_where_the_kernel_refuses_the_death_signal_steps_in(
    tmp_path: Path, in_thread: bool
) -> None:
    text = (
        _HEAD
        + f"""
from procession._launch import lifeline
def refuse(read):
    raise OSError
lifeline._open_for_kill = refuse
start = mp.Process(target=pause).start
if {in_thread}:
    # Must not die with the thread: the death signal is left out then.
    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
else:
    start()
signal.pause()
"""
    )
    with _family(tmp_path, text, count=1) as (parent, descriptors):
        assert not select.select(descriptors, [], [], 0)[0]
        os.kill(parent, signal.SIGKILL)
        if not in_thread:
            assert _have_ended(descriptors)


def test_parent_gone_before_the_child_is_ready(tmp_path: Path) -> None:
    """The race: no event comes any more, the child must find out by itself."""
    text = (
        _HEAD
        + """
from procession._launch import lifeline
open_for_kill = lifeline._open_for_kill
def slowly(read):
    tell()
    poll = __import__("select").poll()
    poll.register(read, 0)
    poll.poll()  # until the parent is gone
    return open_for_kill(read)
lifeline._open_for_kill = slowly
mp.Process(target=print, args=("ran although the parent was gone",)).start()
signal.pause()
"""
    )
    with _family(tmp_path, text, count=1) as (parent, descriptors):
        os.kill(parent, signal.SIGKILL)
        assert _have_ended(descriptors)


def test_many_threads_start_children_at_once() -> None:
    mp = context.get_context("fork")
    processes = [mp.Process() for _ in range(16)]
    threads = [threading.Thread(target=process.start) for process in processes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    for process in processes:
        process.join(LIMIT)
    assert [process.exitcode for process in processes] == [0] * 16
