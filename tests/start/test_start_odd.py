"""Odd surroundings of a start: closed streams, a folder that is gone, a Ctrl-C survived."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from procession._launch import stdlib
from tests.plugins.scripts import LIMIT, RunScript, script_environment
from tests.plugins.starting import METHODS

OTHERS = [name for name in METHODS if name != "fork"]

CLOSED = """
import sys
import procession as mp
def f(x):
    print("printed")
    return x + 1
if __name__ == "__main__":
    ctx = mp.get_context(sys.argv[1])
    with open(sys.argv[2], "w") as report:
        for _ in range(2):
            process = ctx.Process(target=f, args=(1,))
            process.start()
            process.join()
            print(process.exitcode, file=report)
        with ctx.Pool(1) as pool:
            print(pool.map(f, range(3)), file=report)
        ours, its = ctx.Pipe()
        process = ctx.Process(target=its.send, args=(5,))
        process.start()
        print(ours.recv(), file=report)
        process.join()
"""


@pytest.mark.parametrize("closed", ["<&-", ">&-", "<&- >&-", ">&- 2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("name", OTHERS)
def test_closed_standard_streams(name: str, closed: str, tmp_path: Path) -> None:
    """What is opened in their place must not be taken for them."""
    program, report = tmp_path / "program.py", tmp_path / "report"
    program.write_text(CLOSED)
    command = f'"$0" "$1" {name} "$2" {closed}'
    subprocess.run(
        ["sh", "-c", command, sys.executable, program, report],
        env=script_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=LIMIT,
        check=True,
    )
    assert report.read_text() == "0\n0\n[1, 2, 3]\n5\n"


def test_the_folder_of_the_first_start_may_go(run_script: RunScript) -> None:
    done = run_script(
        """
import os, tempfile
import procession as mp
from procession._launch import forkserver
def children(pid):
    return open(f"/proc/{pid}/task/{pid}/children").read().split()
if __name__ == "__main__":
    ctx = mp.get_context("forkserver")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        process = ctx.Process(target=int)
        process.start()
        process.join()
        os.chdir("/")
    codes = set()
    for _ in range(60):
        process = ctx.Process(target=int)
        process.start()
        process.join()
        codes.add(process.exitcode)
    # The child that waits in advance does not mind: it is the same one for as long as it waits.
    seen = set()
    while not children(forkserver.zygote_pid()):
        pass
    for _ in range(200):
        seen.update(children(forkserver.zygote_pid()))
    print(codes, len(seen) <= 2)
"""
    )
    assert (done.stdout, done.stderr) == ("{0} True\n", "")


def test_an_interrupt_that_was_caught_does_not_wait_for_a_later_process(tmp_path: Path) -> None:
    """Ctrl-C reaches the whole group, also the child that waits in advance."""
    program = tmp_path / "program.py"
    program.write_text(
        """
import os, signal
import procession as mp
from procession._launch import forkserver
if __name__ == "__main__":
    ctx = mp.get_context("forkserver")
    process = ctx.Process(target=int)
    process.start()
    process.join()
    zygote = forkserver.zygote_pid()
    while not open(f"/proc/{zygote}/task/{zygote}/children").read().split():
        pass
    try:
        os.killpg(0, signal.SIGINT)
        signal.pause()
    except KeyboardInterrupt:
        print("caught")
    for _ in range(3):
        process = ctx.Process(target=int)
        process.start()
        process.join()
        print(process.exitcode)
"""
    )
    done = subprocess.run(
        [sys.executable, program],
        env=script_environment(),
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
        start_new_session=True,
    )
    assert (done.stdout, done.stderr) == ("caught\n0\n0\n0\n", "")


@pytest.mark.parametrize("name", OTHERS)
def test_a_name_that_is_only_mentioned_is_no_guard(name: str, run_script: RunScript) -> None:
    done = run_script(
        f"""
import logging
import procession as mp
log = logging.getLogger(__name__)
def g(x):
    return x + 1
with mp.get_context({name!r}).Pool(1) as pool:
    print(pool.map(g, range(3)))
"""
    )
    assert (done.stdout, done.stderr) == ("[1, 2, 3]\n", "")


def test_a_fork_waits_for_what_another_thread_is_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the child has half a module for ever."""
    import procession

    begun, go_on = threading.Event(), threading.Event()
    forked = threading.Event()
    process = procession.get_context("fork").Process(target=int)
    order: list[str] = []

    def lend(submodule: str) -> Any:
        begun.set()
        go_on.wait(LIMIT)
        order.append("loaded")
        return ModuleType(submodule)

    def start() -> None:
        process.start()
        order.append("forked")
        forked.set()

    monkeypatch.setattr(stdlib, "_lender", lend)
    threads = [threading.Thread(target=stdlib.borrow, args=("queues",))]
    threads[0].start()
    assert begun.wait(LIMIT)
    threads.append(threading.Thread(target=start))
    threads[1].start()
    assert not forked.wait(0.1)  # a wrong order would show here; a right one never fails
    go_on.set()
    for thread in threads:
        thread.join(LIMIT)
    process.join(LIMIT)
    assert order == ["loaded", "forked"]
    assert process.exitcode == 0


@pytest.mark.parametrize("name", METHODS)
def test_a_second_interrupt_in_the_clean_up_ends_by_the_signal(
    name: str, run_script: RunScript
) -> None:
    """No worker is started in the place of those that it killed."""
    done = run_script(
        f"""
import os, signal
import procession as mp
def interrupted():
    os.kill(os.getpid(), signal.SIGINT)
    signal.pause()
if __name__ == "__main__":
    pool = mp.get_context({name!r}).Pool(2)
    print(pool.apply(abs, (-1,)), flush=True)
    try:
        interrupted()
    finally:
        interrupted()
"""
    )
    assert done.returncode == -signal.SIGINT
    assert done.stdout == "1\n"
    assert done.stderr.count("KeyboardInterrupt") == 2  # the two, chained
