"""Why a worker ended: what is said of which facts."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from procession._engine.autopsy import likely_cause, oom_kills
from procession._engine.policy import Fate

STACK = """Fatal Python error: Segmentation fault

Current thread 0x00007f (most recent call first):
  File "/srv/job/reader.py", line 8 in read_header
  File "/srv/job/main.py", line 3 in <module>
"""


def _cause(
    exitcode: int | None,
    *,
    stack: str = "",
    fate: Fate = Fate.DIED,
    before: int | None = 0,
    after: int | None = 0,
) -> str:
    return likely_cause(7, exitcode, stack, fate, before, after) or ""


def test_what_we_did_ourselves() -> None:
    assert _cause(-9, fate=Fate.TIMED_OUT, after=1) == "killed: its task took too long"
    assert _cause(-9, fate=Fate.CANCELLED) == "killed: its task was cancelled"
    assert _cause(0, fate=Fate.RETIRED) == ""


def test_nothing_is_said_of_what_nobody_knows() -> None:
    assert _cause(None) == ""
    assert _cause(-62) == ""


def test_a_kill() -> None:
    assert "out-of-memory killer" in _cause(-9, before=3, after=4)
    assert _cause(-9, before=3, after=3).startswith("it was sent SIGKILL")
    assert "memory ran out (the kernel's log says so: dmesg), or" in _cause(-9, before=None)
    assert "memory ran out (the kernel's log says so: dmesg), or" in _cause(-9, after=None)


def test_other_ends_are_not_for_want_of_memory() -> None:
    assert "memory" not in _cause(3, before=3, after=4)


@pytest.mark.parametrize("code", [0, 3])
def test_an_exit_code(code: int) -> None:
    assert f"os._exit({code})" in _cause(code)


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGBUS", "SIGABRT", "SIGTERM", "SIGXCPU", "SIGILL"])
def test_signals_have_a_meaning(name: str) -> None:
    assert _cause(-signal.Signals[name])


def test_a_fatal_signal_has_a_place() -> None:
    cause = _cause(-signal.SIGSEGV, stack=STACK)
    assert cause.startswith("C code read or wrote where it must not")
    assert cause.endswith(", in read_header (/srv/job/reader.py:8)")


def test_a_stack_without_frames_has_no_place() -> None:
    assert _cause(-11, stack="Fatal Python error: Segmentation fault\n\n") == _cause(-11)
    assert _cause(-11, stack="noise") == _cause(-11)


def _system(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


EVENTS = "low 0\nhigh 0\nmax 12\noom 2\noom_kill 5\noom_group_kill 0\n"
CONTROL = "oom_kill_disable 0\nunder_oom 0\noom_kill 6\n"
SYSTEM = "nr_free_pages 100\noom_kill 7\n"


@pytest.mark.parametrize(
    ("files", "count"),
    [
        (
            {"proc/self/cgroup": "0::/jobs/a\n", "sys/fs/cgroup/jobs/a/memory.events": EVENTS},
            5,
        ),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.events": EVENTS}, 5),
        ({"proc/self/cgroup": "0::/of/the/host\n", "sys/fs/cgroup/memory.events": EVENTS}, 5),
        (
            {
                "proc/self/cgroup": "9:cpu,memory:/jobs\n0::/\n",
                "sys/fs/cgroup/memory/jobs/memory.oom_control": CONTROL,
                "proc/vmstat": SYSTEM,
            },
            6,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/of/the/host\n",
                "sys/fs/cgroup/memory/memory.oom_control": CONTROL,
            },
            6,
        ),
        ({"proc/self/cgroup": "0::/\n", "proc/vmstat": SYSTEM}, 7),
        ({"proc/vmstat": SYSTEM}, 7),
        (
            {
                "proc/self/cgroup": "0::/\n",
                "sys/fs/cgroup/memory.events": "oom_kill what\n",
                "proc/vmstat": SYSTEM,
            },
            7,
        ),
        ({"proc/self/cgroup": "nonsense\n"}, None),
        ({}, None),
    ],
)
def test_the_counter_is_found(tmp_path: Path, files: dict[str, str], count: int | None) -> None:
    assert oom_kills(_system(tmp_path, files)) == count


def test_this_system_has_one_or_none() -> None:
    found = oom_kills()
    assert found is None or found >= 0
