"""A parent ends, in whatever way and at whatever moment: nobody of its family is left."""

from __future__ import annotations

import itertools
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lifetimes import families, victims
from tests.lifetimes.conftest import Pidfd, StartProgram
from tests.lifetimes.stages import EXIT_CODE, Stage
from tests.plugins.scripts import LIMIT

_FAMILIES = "-m tests.lifetimes.families"
_SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "SIGSEGV": signal.SIGSEGV}


def _have_ended(descriptors: list[int]) -> bool:
    return all(select.select([fd], [], [], LIMIT)[0] for fd in descriptors)


def _cells() -> Iterator[Any]:
    ends = [*_SIGNALS, "exit", "descriptors"]
    # A parent is not started by us, so its start is no moment of ours; but see the races below.
    for method, end, moment in itertools.product(
        victims.METHODS, ends, ("idle", "running", "exiting")
    ):
        if moment == "idle" and end not in _SIGNALS:  # who sleeps does not do anything
            continue
        is_long = method == "spawn" and end not in ("SIGKILL", "exit")
        marks = [pytest.mark.chaos] if is_long else []
        yield pytest.param(method, end, moment, id=f"{method}-{end}-{moment}", marks=marks)


@pytest.mark.parametrize(("method", "end", "moment"), list(_cells()))
def test_a_parent(
    method: str,
    end: str,
    moment: str,
    stage: Stage,
    start_program: StartProgram,
    pidfd: Pidfd,
) -> None:
    call = (_FAMILIES, "small", stage.path, method, moment, end)
    parent = start_program(*call, stderr=subprocess.PIPE)
    family = [pidfd(stage.arrival()) for _ in range(families.SMALL)]
    stage.say("go")
    assert stage.arrival() == parent.pid
    assert not select.select(family, [], [], 0)[0]
    if end in _SIGNALS:
        parent.send_signal(_SIGNALS[end])
        expected = -_SIGNALS[end]
    else:
        stage.say(end)
        expected = EXIT_CODE if end == "exit" else 0 if moment == "exiting" else 1
    assert parent.wait(LIMIT) == expected
    assert _have_ended(family)


_PAIRS = [("fork", "forkserver"), ("forkserver", "fork"), ("forkserver", "forkserver")]
_LONG_PAIRS = [pair for pair in itertools.product(victims.METHODS, repeat=2) if pair not in _PAIRS]


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize(
    ("outer", "inner"),
    [*_PAIRS, *(pytest.param(*pair, marks=pytest.mark.chaos) for pair in _LONG_PAIRS)],
)
def test_a_large_family_goes_with_the_parent(
    outer: str,
    inner: str,
    signum: signal.Signals,
    stage: Stage,
    start_program: StartProgram,
    pidfd: Pidfd,
) -> None:
    parent = start_program(_FAMILIES, "large", stage.path, outer, inner, stdin=subprocess.PIPE)
    family = [pidfd(stage.arrival()) for _ in range(families.LARGE)]
    stage.say("go")
    assert not select.select(family, [], [], 0)[0]
    parent.send_signal(signum)
    assert parent.wait(LIMIT) == -signum
    assert _have_ended(family)


# ---- the races: the parent ends while somebody is being started

_STARTS = """
import os, sys
from pathlib import Path
from procession import context, process
from procession._launch import forkserver
from tests.lifetimes import victims
from tests.lifetimes.stages import known_by_path
stage, method, executable = known_by_path(Path(sys.argv[1])), sys.argv[2], sys.argv[3]
if __name__ == "__main__":
    mp = context.get_context(method)
"""

_WRAPPER = """#!/bin/sh
echo $$ > {path}/news
read word < {path}/words
exec {python} "$@"
"""


@pytest.fixture
def slow_interpreter(tmp_path: Path, stage: Stage) -> Path:
    """An executable that reaches the stage before it becomes an interpreter."""
    path = tmp_path / "slowly"
    path.write_text(_WRAPPER.format(path=stage.path, python=sys.executable))
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_between_exec_and_the_lifeline(
    method: str,
    slow_interpreter: Path,
    make_stage: Callable[[], Stage],
    stage: Stage,
    start_program: StartProgram,
    pidfd: Pidfd,
) -> None:
    """Of a spawned child, and of the zygote."""
    ran = make_stage()
    text = _STARTS + (
        "    mp.set_executable(executable)\n"
        "    mp.Process(target=victims.reach, args=(stage,)).start()\n"
        "    os.read(0, 1)\n"
    )
    parent = start_program(text, ran.path, method, slow_interpreter, stdin=subprocess.PIPE)
    fresh = pidfd(stage.arrival())
    parent.kill()
    parent.wait(LIMIT)
    stage.say("go\n")
    assert _have_ended([fresh])
    assert not ran.has_news()


def test_between_the_zygotes_fork_and_the_word_to_go_on(
    stage: Stage, start_program: StartProgram, pidfd: Pidfd
) -> None:
    text = (
        _STARTS
        + """
    start = context.ForkServerProcess(target=victims.reach, args=(stage,)).start
    def adopt(_, child):
        stage.tell(child.pid)
        stage.wait()
    context.ForkServerProcess._adopt = adopt
    start()
"""
    )
    parent = start_program(text, stage.path, "forkserver", "")
    child = pidfd(stage.arrival())
    assert not select.select([child], [], [], 0)[0]
    parent.kill()
    parent.wait(LIMIT)
    assert _have_ended([child])
    assert not stage.has_news()


def test_while_the_zygote_imports(
    tmp_path: Path, stage: Stage, start_program: StartProgram, pidfd: Pidfd
) -> None:
    (tmp_path / "takes_long.py").write_text(
        f"from tests.lifetimes.stages import *\nknown_by_path(Path({str(stage.path)!r})).reach()\n"
    )
    text = _STARTS + (
        "    mp.set_forkserver_preload(['takes_long'])\n"
        "    mp.Process(target=victims.reach, args=(stage,)).start()\n"
    )
    parent = start_program(text, stage.path, "forkserver", "")
    zygote = pidfd(stage.arrival())
    assert not select.select([zygote], [], [], 0)[0]
    parent.kill()
    parent.wait(LIMIT)
    assert _have_ended([zygote])


def test_while_its_request_lies_with_a_stopped_zygote(
    stage: Stage, start_program: StartProgram, pidfd: Pidfd
) -> None:
    text = _STARTS + (
        "    mp.Process(target=os.getpid).start()\n"
        "    os.kill(forkserver.zygote_pid(), __import__('signal').SIGSTOP)\n"
        "    await_ = forkserver._await\n"
        "    def tell_first(*args):\n"
        "        stage.tell(forkserver.zygote_pid())\n"
        "        await_(*args)\n"
        "    forkserver._await = tell_first\n"
        "    mp.Process(target=victims.reach, args=(stage,)).start()\n"
    )
    parent = start_program(text, stage.path, "forkserver", "")
    zygote = pidfd(stage.arrival())
    stage.arrival()  # the second time it waits is for the answer
    parent.kill()
    parent.wait(LIMIT)
    assert _have_ended([zygote])
    assert not stage.has_news()


@pytest.mark.parametrize("method", victims.METHODS)
def test_a_parent_that_ends_as_usual(
    method: str, stage: Stage, start_program: StartProgram
) -> None:
    text = _STARTS + (
        "    mp.Process(target=victims.sleep, args=(stage,), daemon=True).start()\n"
        "    pool = mp.Pool(2)\n"
        "    pool.apply(victims.square, (3,))\n"
    )
    parent = start_program(text, stage.path, method, "", stderr=subprocess.PIPE)
    assert parent.wait(LIMIT) == 0
    assert parent.stderr is not None
    assert parent.stderr.read() == b""
    assert not os.path.exists(f"/proc/{parent.pid}")
