"""What the processes run that are going to be killed. All of it is found by name, in any child."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from typing import Any, NoReturn

from procession import context, process
from procession._launch import exits
from tests.lifetimes.stages import Stage, compute

METHODS = ("fork", "spawn", "forkserver")


def _reach_first() -> None:
    arguments: Any = process.current_process()
    arguments._args[0].reach()


class _ForkStalled(context.ForkProcess):
    _after_fork = staticmethod(_reach_first)


class _SpawnStalled(context.SpawnProcess):
    _after_fork = staticmethod(_reach_first)


class _ForkServerStalled(context.ForkServerProcess):
    _after_fork = staticmethod(_reach_first)


STALLED: dict[str, type[process.BaseProcess]] = {
    "fork": _ForkStalled,
    "spawn": _SpawnStalled,
    "forkserver": _ForkServerStalled,
}
"""Processes that reach the stage, their first argument, before anything of theirs runs."""


def sleep(stage: Stage) -> NoReturn:
    """Tell, and wait for signals."""
    stage.tell(os.getpid())
    while True:
        signal.pause()


def spin(stage: Stage) -> None:
    """Tell, and compute."""
    stage.tell(os.getpid())
    compute()


def reach(stage: Stage) -> None:
    """Reach the stage."""
    stage.reach()


def reach_at_exit(stage: Stage) -> None:
    """Reach the stage at the process's end."""
    exits.register_exit(stage.reach, priority=0)


def square(x: int) -> int:
    """A task."""
    return x * x


def pid() -> int:
    """Who runs this."""
    return os.getpid()


def child_at(moment: str, end: str, method: str, stage: Stage) -> process.BaseProcess:
    """A started process that is going to tell its pid at that moment.

    Args:
        moment: "starting", "idle", "running" or "exiting".
        end: how it is going to be ended; a word if it does so itself.
    """
    mp: Any = context.get_context(method)
    kind = STALLED[method] if moment == "starting" else mp.Process
    target: Any = {
        "starting": print,
        "idle": sleep,
        "running": reach if end in ("exit", "descriptors") else spin,
        "exiting": reach_at_exit,
    }[moment]
    started: process.BaseProcess = kind(target=target, args=(stage,))
    started.start()
    return started


def parent_of(moment: str, end: str, method: str, stage: Stage, inner: Stage) -> None:
    """Have a child at that moment, and tell `stage` how it ended."""
    started = child_at(moment, end, method, inner)
    started.join()
    stage.tell(started.exitcode)


def pid_after_a_while(_: int) -> int:
    """Who runs this; it leaves the others time to take part."""
    time.sleep(0.001)
    return os.getpid()


def import_learnt(name: str) -> None:
    """Import one of the modules that a zygote might learn."""
    os.environ["ONLY"] = str(os.getpid())
    __import__(f"learnt_{name}")


def has_learnt(name: str) -> None:
    """Exit with 1 if it is here already, with 0 if not."""
    sys.exit(f"learnt_{name}" in sys.modules)


def count_descriptors(stage: Stage) -> None:
    """Tell how many this process has, and wait for a word."""
    stage.tell(len(os.listdir("/proc/self/fd")))
    stage.wait()


def targets() -> list[str]:
    """What the descriptors of this process lead to."""
    found = []
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the listing's own
            found.append(os.readlink(f"/proc/self/fd/{fd}"))
    return found


def tell_targets(stage: Stage) -> None:
    """Tell them all."""
    stage.tell(targets())
