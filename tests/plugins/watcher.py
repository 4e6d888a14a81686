"""The watchdog's own process: ``python -m tests.plugins.watcher PID SIGNAL``, orders on stdin.

An order is a line of JSON: what pytest does now, and how many seconds it may take. The watcher ends
when pytest does. When pytest is late, it prints what every process of it is doing, and kills them.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

from tests.plugins.procfs import Process, Tree, pidfd, read

_STACKS_TIMEOUT = 20
_TAIL = 4000


def detach() -> None:
    """Go on as a process that is not pytest's child."""
    if os.fork():
        os._exit(0)
    os.setsid()


def watch(pid: int, dump_signal: int) -> None:
    """Follow the orders until pytest ends."""
    ended = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(0, select.POLLIN)
    poll.register(ended, select.POLLIN)
    what, deadline, unread = "start", time.monotonic() + 60.0, b""
    while (remaining := deadline - time.monotonic()) > 0:
        ready = dict(poll.poll(remaining * 1000))
        if ended in ready:
            return
        if 0 in ready:
            received = os.read(0, 65536)
            if not received:
                return
            *lines, unread = (unread + received).split(b"\n")
            if lines:
                order = json.loads(lines[-1])
                what, deadline = order["what"], time.monotonic() + order["seconds"]
    family = [_itself(pid), *Tree.now().below(pid)]
    print(f"\n==== watchdog: no end of {what} ====", flush=True)
    for process in family:
        report(process, dump_signal)
    print(f"==== watchdog: killing the {len(family)} processes ====", flush=True)
    for process in family:
        _kill(process)


def _itself(pid: int) -> Process:
    for processes in Tree.now().children.values():
        for process in processes:
            if process.pid == pid:
                return process
    raise ProcessLookupError(pid)


def report(process: Process, dump_signal: int) -> None:
    """Print what one process is doing."""
    print(f"\n---- {process.describe()}", flush=True)
    _print_threads(process.pid)
    if not _print_stacks(process.pid):
        _ask_for_stacks(process, dump_signal)
    _print_captured_output(process.pid)


def _print_threads(pid: int) -> None:
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            place = read(pid, f"task/{task}/wchan").decode() or "?"
            name = read(pid, f"task/{task}/comm").decode(errors="replace").strip()
            call = read(pid, f"task/{task}/syscall").decode().split(" ")[0].strip() or "?"
            print(f"thread {task} ({name}): in the kernel at {place}, system call {call}")
            for line in read(pid, f"task/{task}/stack").decode().splitlines()[:12]:
                print(f"    {line}")
    sys.stdout.flush()


def _print_stacks(pid: int) -> bool:
    beside = str(Path(sys.executable).parent)
    path = os.pathsep.join([beside, os.environ.get("PATH", "")])
    spy = shutil.which(os.environ.get("PROCESSION_PY_SPY", "py-spy"), path=path)
    if spy is None:
        return False
    try:
        done = subprocess.run(
            [spy, "dump", "--pid", str(pid)],
            capture_output=True,
            text=True,
            timeout=_STACKS_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    print(done.stdout, flush=True)
    return done.returncode == 0


def _ask_for_stacks(process: Process, dump_signal: int) -> None:
    """Through the handler that pytest and its forks have; others would die of the signal."""
    for line in read(process.pid, "status").decode().splitlines():
        if line.startswith("SigCgt:") and int(line.split()[1], 16) >> (dump_signal - 1) & 1:
            _send(process, dump_signal)
            time.sleep(0.5)  # it prints in its own time


def _print_captured_output(pid: int) -> None:
    """pytest's capture, which the kill would lose."""
    for fd in (1, 2):
        with contextlib.suppress(OSError):
            path = f"/proc/{pid}/fd/{fd}"
            about = os.stat(path)
            if stat.S_ISREG(about.st_mode) and about.st_size:
                with open(path, "rb") as output:
                    output.seek(max(0, about.st_size - _TAIL))
                    text = output.read().decode(errors="replace")
                print(f"captured output {fd}, its end:\n{text}", flush=True)


def _kill(process: Process) -> None:
    _send(process, signal.SIGKILL)


def _send(process: Process, signum: int) -> None:
    fd = pidfd(process)
    if fd is not None:
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(fd, signum)
        os.close(fd)


if __name__ == "__main__":
    detach()
    watch(int(sys.argv[1]), int(sys.argv[2]))
