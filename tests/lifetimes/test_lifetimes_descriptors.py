"""Descriptors: few for each child, none inherited unasked, and what happens when there are none."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from procession import context
from procession._launch import forkserver
from procession.errors.pool import WorkerDied
from tests.lifetimes import victims
from tests.lifetimes.stages import Stage
from tests.lifetimes.zygotes import spare_of, state
from tests.pool.gates import error_of

_MANY = 20


def _count(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


@pytest.mark.parametrize(
    ("method", "in_parent", "in_zygote"), [("fork", 1, 0), ("spawn", 1, 0), ("forkserver", 2, 1)]
)
def test_few_for_each_child(method: str, in_parent: int, in_zygote: int, stage: Stage) -> None:
    mp: Any = context.get_context(method)
    children = [
        mp.Process(target=victims.count_descriptors, args=(stage,)) for _ in range(_MANY + 1)
    ]
    counts = [_start(children[0], stage)]
    zygote = forkserver.zygote_pid()
    before = _count(os.getpid())
    zygote_before = 0 if zygote is None else _count(zygote)
    counts += [_start(child, stage) for child in children[1:]]
    assert _count(os.getpid()) - before == in_parent * _MANY
    if zygote is not None:
        # Its spare child may come or go just now; that has one as well.
        assert abs(_count(zygote) - zygote_before - in_zygote * _MANY) <= 2
    if method != "fork":  # a copy has what its parent has: the sentinels of its elder siblings
        assert max(counts) - min(counts) <= 2
    for _ in children:
        stage.say("go")
    for child in children:
        child.join()
        child.close()


def _start(child: Any, stage: Stage) -> int:
    child.start()
    return int(stage.news())


@pytest.mark.parametrize("method", victims.METHODS)
def test_few_for_each_worker(method: str) -> None:
    mp: Any = context.get_context(method)
    with mp.Pool(1) as pool:
        pool.apply(victims.pid)
        one = _count(os.getpid())
        alone = len(pool.apply(victims.targets))
        with mp.Pool(10) as larger:
            # The same again, and nine workers more.
            larger.map(victims.square, range(10))
            assert _count(os.getpid()) - one <= 12 + 2 * 10
            assert len(larger.apply(victims.targets)) <= alone + 6
        larger.join()
    pool.join()


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.parametrize("who", ["process", "worker"])
def test_nothing_is_inherited_unasked(method: str, who: str, tmp_path: Path, stage: Stage) -> None:
    mp: Any = context.get_context(method)
    secret = tmp_path / "secret"
    with secret.open("w") as file:
        os.set_inheritable(file.fileno(), True)
        if who == "process":
            child = mp.Process(target=victims.tell_targets, args=(stage,))
            child.start()
            found = stage.news()
            child.join()
            child.close()
        else:
            with mp.Pool(1) as pool:
                found = str(pool.apply(victims.targets))
            pool.join()
        assert str(secret) in victims.targets()
    assert "memfd" in found or "pipe" in found
    assert str(secret) not in found


@contextlib.contextmanager
def _all_in_use() -> Iterator[list[int]]:
    """Use up the descriptors of this process; in the list are those that can be closed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 24, hard))
    held: list[int] = []
    try:
        with contextlib.suppress(OSError):
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        yield held
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        while held:
            os.close(held.pop())


@pytest.mark.parametrize("method", victims.METHODS)
@pytest.mark.parametrize("with_zygote", [True, False])
def test_a_start_without_descriptors(method: str, with_zygote: bool, stage: Stage) -> None:
    """With none left, with one, with two and so on, until there are enough."""
    mp: Any = context.get_context(method)
    if with_zygote:
        first = mp.Process(target=victims.pid)
        first.start()
        first.join()
        first.close()
    child = mp.Process(target=stage.tell, args=("ran",))
    failures = 0
    with _all_in_use() as held:
        while True:
            try:
                child.start()
                break
            except OSError as error:
                assert error.errno == errno.EMFILE  # noqa: PT017
            assert (child.pid, child.exitcode) == (None, None)
            assert mp.active_children() == []
            failures += 1
            os.close(held.pop())
        child.join()
    assert child.exitcode == 0
    assert failures >= 1
    assert stage.news() == "ran"
    assert not stage.has_news()


@pytest.mark.parametrize("method", victims.METHODS)
def test_a_pool_survives(method: str, stage: Stage) -> None:
    mp: Any = context.get_context(method)
    with mp.Pool(2) as pool:
        assert pool.map(victims.square, range(10)) == [x * x for x in range(10)]
        with _all_in_use():
            assert pool.map(victims.square, range(10)) == [x * x for x in range(10)]
            victim = pool.apply_async(victims.sleep, (stage,))
            resource_free = stage.arrival()
            os.kill(resource_free, signal.SIGKILL)
            assert isinstance(error_of(victim), WorkerDied)
            assert pool.apply(victims.square, (3,)) == 9
        pids = set(pool.map(victims.pid_after_a_while, range(40), 1))
        while len(pids) < 2:
            pids |= set(pool.map(victims.pid_after_a_while, range(40), 1))
        assert resource_free not in pids
    pool.join()


def test_a_zygote_without_descriptors(stage: Stage) -> None:
    """It says so, and serves again when it has some."""
    mp: Any = context.get_context("forkserver")
    first = mp.Process(target=victims.reach, args=(stage,))
    first.start()
    stage.arrival()
    zygote = forkserver.zygote_pid()
    assert zygote is not None
    while spare_of(zygote) in (None, first.pid) or state(zygote) != "S":
        os.sched_yield()  # it has not yet done all that it does after a start
    used = set(map(int, os.listdir(f"/proc/{zygote}/fd")))
    limit = next(fd for fd in itertools.count() if fd not in used)
    limits = resource.prlimit(zygote, resource.RLIMIT_NOFILE)
    resource.prlimit(zygote, resource.RLIMIT_NOFILE, (limit, limits[1]))
    child = mp.Process(target=stage.tell, args=("ran",))
    for _ in range(3):
        with pytest.raises(OSError, match="can not fork") as caught:
            child.start()
        assert caught.value.errno == errno.EMFILE
    resource.prlimit(zygote, resource.RLIMIT_NOFILE, limits)
    child.start()
    child.join()
    assert child.exitcode == 0
    assert forkserver.zygote_pid() == zygote
    stage.say("go")
    first.join()
    assert first.exitcode == 0
