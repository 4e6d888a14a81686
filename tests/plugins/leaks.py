"""Around every test: whatever it started or opened is gone when it has ended.

Compared are processes (descendants, and orphans that ours left behind), threads (also those that
Python does not know), descriptors, mapped memory files, entries of /dev/shm, and what is in use in
the family arena. The arena itself is made once in a process and stays. Things that are about to end
get a moment to do so. ``@pytest.mark.may_leak(reason=...)`` leaves a test out.

The clients of other engines, kept for all tests, open and close sockets when they like, and keep
threads for good: of a ``scale`` test, these are no leaks. Everything else is.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.plugins.commands import kept
from tests.plugins.procfs import Process, Tree, adopter, pidfd, read

PATIENCE = 5.0
"""Seconds for what is ending already."""

PAGE_SLACK = 1 << 20
"""Bytes by which the arena may have grown: its tables are never given back."""

_ALLOCATORS = {"jemalloc_bg_thd"}
"""Threads that the allocators of libraries (pyarrow, polars) start at any time, and keep."""

_CLIENTS = (
    "Dask-Offload",
    "TCP-Executor",
    "asyncio_",
    "IO loop",
    "Dask-Callback-Thread",
    "ray_",
    "not Python's",
)
"""Beginnings of the names of threads that the clients of other engines keep."""

_SOCKETS = ("socket:", "anon_inode:", "pipe:")
"""What their descriptors are."""

_ARENA = "/memfd:procession (deleted)"
_SHM = Path("/dev/shm")
_call_failed = pytest.StashKey[bool]()
_adopter = pytest.StashKey[int]()


class Snapshot(NamedTuple):
    """What this process has at one moment: for each kind, what it is called and how often."""

    processes: set[Process]
    threads: dict[int, str]
    descriptors: Counter[tuple[int, str]]
    mappings: Counter[str]  # bytes
    shared_memory: set[str]
    arena: dict[str, int]

    @classmethod
    def take(cls, adopting: int) -> Snapshot:
        """Look at everything. `adopting` is the process that gets our orphans."""
        return cls(
            processes=set(_processes(adopting)),
            threads=dict(_threads()),
            descriptors=Counter(_descriptors()),
            mappings=_mappings(),
            shared_memory=set(_shared_memory()),
            arena=_arena(),
        )

    def leaks(self, after: Snapshot, clients: bool = False) -> list[str]:
        """What `after` has and this one has not, a line each; see `settle`."""
        leaks = self._all_leaks(after)
        return [leak for leak in leaks if not (clients and _is_of_a_client(leak))]

    def _all_leaks(self, after: Snapshot) -> list[str]:
        arenas = max(1, sum(target == _ARENA for _, target in self.descriptors))
        new_fds = after.descriptors - self.descriptors
        kept = [key for key in after.descriptors if key[1] == _ARENA][:arenas]
        return [
            *(process.describe() for process in sorted(after.processes - self.processes)),
            *(
                f"thread {tid}: {name}"
                for tid, name in after.threads.items()
                if tid not in self.threads
            ),
            *(f"descriptor {fd}: {target}" for fd, target in new_fds if (fd, target) not in kept),
            *(
                f"mapping of {name}: {size} bytes"
                for name, size in (after.mappings - self.mappings).items()
                if not name.endswith(_ARENA)
            ),
            *(f"/dev/shm/{name}" for name in sorted(after.shared_memory - self.shared_memory)),
            *self._arena_leaks(after.arena),
        ]

    def _arena_leaks(self, after: dict[str, int]) -> Iterator[str]:
        for name in ("blocks", "block_bytes"):
            if after.get(name, 0) > self.arena.get(name, 0):
                yield f"family arena: {name} {self.arena.get(name, 0)} -> {after[name]}"
        used = self.arena.get("used", 0)
        if used and after["used"] > used + PAGE_SLACK:
            yield f"family arena: used {used} -> {after['used']} bytes"


def _is_of_a_client(leak: str) -> bool:
    if leak.startswith("/dev/shm/sem."):
        return True  # of the standard library's, made and ended with an engine's workers
    kind, _, rest = leak.partition(" ")
    what = rest.partition(": ")[2]
    name = what.partition("(")[2] if what.startswith("<") else what  # repr() of a Thread
    return (kind == "thread" and name.startswith(_CLIENTS)) or (
        kind == "descriptor" and what.startswith(_SOCKETS)
    )


def _processes(adopting: int) -> Iterator[Process]:
    tree = Tree.now()
    not_ours = {process for pid in kept for process in tree.below(pid)}
    yield from (process for process in tree.below(os.getpid()) if process not in not_ours)
    for process in tree.children.get(adopting, ()):
        if process.pid != os.getpid() and _is_orphan_of_ours(process):
            yield process
            yield from tree.below(process.pid)


def _is_orphan_of_ours(process: Process) -> bool:
    # What we fork shows the environment that we were started with; what we exec got pytest's mark.
    environment = read(process.pid, "environ")
    if not environment:
        return False
    return environment == read(os.getpid(), "environ") or b"PYTEST_CURRENT_TEST=" in environment


def _threads() -> Iterator[tuple[int, str]]:
    names = {thread.native_id: repr(thread) for thread in threading.enumerate()}
    for task in map(int, os.listdir("/proc/self/task")):
        comm = read(os.getpid(), f"task/{task}/comm").decode(errors="replace").strip()
        if comm and comm not in _ALLOCATORS:
            yield task, names.get(task, f"not Python's, called {comm!r}")


def _descriptors() -> Iterator[tuple[int, str]]:
    for fd in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(OSError):  # the listing's own is closed again
            yield fd, os.readlink(f"/proc/self/fd/{fd}")


def _mappings() -> Counter[str]:
    sizes: Counter[str] = Counter()
    for line in read(os.getpid(), "maps").decode(errors="replace").splitlines():
        if "/memfd:" in line:
            addresses, _, _, device, inode, name = line.split(maxsplit=5)
            start, end = (int(address, 16) for address in addresses.split("-"))
            sizes[f"{device} {inode} {name}"] += end - start
    return sizes


def _shared_memory() -> Iterator[str]:
    with contextlib.suppress(OSError), os.scandir(_SHM) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if entry.stat(follow_symlinks=False).st_uid == os.getuid():
                    yield entry.name


def _arena() -> dict[str, int]:
    core = sys.modules.get("procession._core")
    statistics: Callable[[], dict[str, int]] | None = getattr(core, "arena_statistics", None)
    if core is None or statistics is None:
        return {}
    core.sweep()  # one may have been missed while another process looked at the same dead one
    return statistics()


def _budget(wanted: int | None = None) -> int | None:
    """The budget of the family's arena, which outlives the pool that asked for it; sets it back."""
    core = sys.modules.get("procession._core")
    agree: Callable[..., int] | None = getattr(core, "memory_budget", None)
    if agree is None:
        return None
    return agree() if wanted is None else agree(wanted)


def settle(before: Snapshot, adopting: int, clients: bool = False) -> list[str]:
    """The leaks that remain once everything that was about to end has ended.

    Args:
        before: what there was.
        adopting: the process that gets our orphans.
        clients: whether what the clients of other engines keep is none.
    """
    deadline = time.monotonic() + PATIENCE
    pause = 0.001
    collected = False
    while leaks := before.leaks(after := Snapshot.take(adopting), clients):
        if not collected:
            collected = True
            gc.collect()  # what only a cycle keeps (a caught exception's frames) is no leak
            _trim()
            continue
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            _kill(after.processes - before.processes)
            break
        if not _await_an_end(after.processes - before.processes, remaining):
            time.sleep(pause)  # threads and descriptors announce their end to nobody
            pause = min(pause * 2, 0.05)
    return leaks


def _trim() -> None:
    """Pages kept warm for re-use are no leak."""
    if _arena().get("used", 0):
        trim: Callable[[], None] | None = getattr(sys.modules["procession._core"], "trim", None)
        if trim is not None:
            trim()


def _await_an_end(processes: set[Process], timeout: float) -> bool:
    """Wait until one of the processes that run has ended; False if none of them runs."""
    poll = select.poll()
    fds = [fd for process in processes if (fd := pidfd(process)) is not None]
    try:
        for fd in fds:
            poll.register(fd, select.POLLIN)
        if not fds or poll.poll(0):
            return False  # nothing to wait for, or an end that somebody has yet to take note of
        poll.poll(timeout * 1000)
        return True
    finally:
        for fd in fds:
            os.close(fd)


def _kill(processes: set[Process]) -> None:
    """What leaked must not disturb the tests that follow."""
    for process in processes:
        fd = pidfd(process)
        if fd is not None:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(fd, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PIDFD, fd, os.WEXITED)
            os.close(fd)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "may_leak(reason): the leak check leaves this test alone, for this reason"
    )
    config.stash[_adopter] = adopter()


def pytest_collection_finish() -> None:
    """What pytest knows of some thousand tests is never garbage: it is not looked through again
    each time that garbage is collected."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.stash[_call_failed] = report.failed
    return report


@pytest.fixture(autouse=True)
def leak_check(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test (at teardown) that leaves anything behind."""
    item: pytest.Item = request.node
    marker = item.get_closest_marker("may_leak")
    if marker is not None:
        if not marker.kwargs.get("reason"):
            pytest.fail("may_leak needs a reason: may_leak(reason='...')", pytrace=False)
        yield
        return
    adopting = request.config.stash[_adopter]
    before = Snapshot.take(adopting)
    budget = _budget()
    yield
    _budget(budget)
    # pytest still holds what the other fixtures gave, whose end came before this.
    (getattr(item, "funcargs", None) or {}).clear()
    leaks = settle(before, adopting, clients=item.get_closest_marker("scale") is not None)
    if not leaks:
        return
    message = "the test left behind:\n" + "\n".join(f"  {leak}" for leak in leaks)
    if item.stash.get(_call_failed, False):
        # Its frames, kept for the report, may hold on to things: not a failure of its own.
        item.add_report_section("teardown", "leaks", message)
    else:
        pytest.fail(message, pytrace=False)
