"""Who works in a pool: replaced in time, killed with all they started, more or fewer of them."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import time
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from procession.errors.pool import TaskTimeout
from procession.futures import Executor
from procession.pool import Pool
from tests.pool.gates import Gate, Log


class Ends:
    """The ends of processes, waited for."""

    def __init__(self, pids: Collection[int]) -> None:
        self._poll = select.poll()
        self._pids = {os.pidfd_open(pid): pid for pid in pids}
        for pidfd in self._pids:
            self._poll.register(pidfd, select.POLLIN)

    def wait(self, count: int) -> set[int]:
        """Wait until so many have ended; their pids."""
        ended: set[int] = set()
        while len(ended) < count:
            for pidfd, _ in self._poll.poll():
                ended.add(self._pids.pop(pidfd))
                self._poll.unregister(pidfd)
                os.close(pidfd)
        return ended

    def close(self) -> None:
        """Wait no more."""
        for pidfd in self._pids:
            os.close(pidfd)


class Meeting:
    """Tasks that wait for each other: they need as many workers."""

    def __init__(self) -> None:
        self._arrived, self._leave = Gate(), Gate()

    def attend(self, _: object = None) -> int:
        """Be there."""
        self._arrived.open()
        self._leave.pass_through()
        return os.getpid()

    def hold(self, pool: Pool, size: int) -> set[int]:
        """Have so many tasks meet; the pids of their workers."""
        results = [pool.apply_async(self.attend) for _ in range(size)]
        for _ in range(size):
            self._arrived.pass_through()
        self._leave.open(size)
        return {result.get() for result in results}

    def close(self) -> None:
        """Give the descriptors back."""
        self._arrived.close()
        self._leave.close()


@pytest.fixture
def meeting() -> Iterator[Meeting]:
    """To be made before the pool."""
    meeting = Meeting()
    yield meeting
    meeting.close()


def _for_ever(gate: Gate | None = None) -> None:
    if gate is not None:
        gate.open()
    while True:
        time.sleep(60)


# ---- late tasks


def test_a_late_task_is_killed_and_told_so() -> None:
    with Pool(2, timeout=0.05) as pool:
        with pytest.raises(TaskTimeout) as caught:
            pool.apply(_for_ever)
        assert caught.value.timeout == 0.05
        assert pool.map(abs, range(-20, 0)) == list(range(20, 0, -1))
    pool.join()


def test_only_the_late_item_of_a_map_is_lost() -> None:
    def wait_at_7(x: int) -> int:
        if x == 7:
            _for_ever()
        return x

    with Pool(2) as pool:
        got = pool.options(timeout=0.1, errors="return").map(wait_at_7, range(20), chunksize=5)
        assert isinstance(got.pop(7), TaskTimeout)
        assert got == [x for x in range(20) if x != 7]
    pool.join()


def test_what_a_late_task_has_started_goes_with_it() -> None:
    read, write = os.pipe()

    def start_and_wait() -> None:
        subprocess.Popen(["sleep", "1000"], pass_fds=[write])
        _for_ever()

    with Pool(1, timeout=0.2) as pool:
        os.close(write)
        with pytest.raises(TaskTimeout):
            pool.apply(start_and_wait)
        assert os.read(read, 1) == b"", "the end of the last one that had it"
    os.close(read)
    pool.join()


def test_a_task_that_heeds_the_request_keeps_its_worker() -> None:
    def tidy_up() -> None:
        try:
            _for_ever()
        except TaskTimeout:
            raise LookupError("tidied up") from None

    with Pool(1, timeout=0.05, grace=60) as pool:
        pid = pool.apply(os.getpid)
        with pytest.raises(LookupError, match="tidied up"):
            pool.apply(tidy_up)
        assert pool.apply(os.getpid) == pid
    pool.join()


def test_a_task_that_does_not_is_killed_when_the_grace_is_over() -> None:
    def go_on() -> None:
        while True:
            with contextlib.suppress(TaskTimeout):
                _for_ever()

    with Pool(1, timeout=0.05, grace=0.05) as pool:
        pid = pool.apply(os.getpid)
        with pytest.raises(TaskTimeout):
            pool.apply(go_on)
        assert pool.apply(os.getpid) != pid
    pool.join()


def test_a_running_task_that_is_cancelled_ends_with_its_process() -> None:
    gate = Gate()
    with Pool(1) as pool:
        ends = Ends([pool.apply(os.getpid)])
        for _ in range(3):
            result = pool.apply_async(_for_ever, (gate,))
            gate.pass_through()
            assert result.cancel()
            ends.wait(1)
            ends = Ends([pool.apply(os.getpid)])
        ends.close()
    pool.join()
    gate.close()


# ---- how many there are


def test_a_pool_grows_and_shrinks(meeting: Meeting) -> None:
    with Pool(1) as pool:
        pool.resize(4)
        four = meeting.hold(pool, 4)
        assert len(four) == 4
        ends = Ends(four)
        pool.resize(2)
        left = four - ends.wait(2)
        assert meeting.hold(pool, 2) == left
        ends.close()
    pool.join()


def test_with_nothing_to_do_all_but_one_leave_and_come_back(meeting: Meeting) -> None:
    with Pool(3, idle_timeout=0.05) as pool:
        three = meeting.hold(pool, 3)
        ends = Ends(three)
        left = three - ends.wait(2)
        ends.close()
        assert len(left) == 1
        assert len(meeting.hold(pool, 3)) == 3
    pool.join()


def test_an_old_worker_is_replaced() -> None:
    with Pool(1, max_age=0.05) as pool:
        ends = Ends([pool.apply(os.getpid)])
        [old] = ends.wait(1)
        assert pool.apply(os.getpid) != old
    pool.join()


def test_successors_never_work_beside_those_they_replace(tmp_path: Path) -> None:
    """A pool of one runs one task at a time, whoever runs it."""
    log = Log(tmp_path / "log")

    def enter_and_leave(x: int) -> int:
        log.write(f"{x} begins")
        log.write(f"{x} ends")
        return os.getpid()

    with Pool(1, maxtasksperchild=1) as pool:
        results = [pool.apply_async(enter_and_leave, (x,)) for x in range(12)]
        assert len({result.get() for result in results}) == 12
    pool.join()
    assert log.lines() == [f"{x} {what}" for x in range(12) for what in ("begins", "ends")]


def test_a_view_tells_its_options() -> None:
    with Pool(1) as pool:
        view = pool.options(timeout=3, errors="skip")
        assert repr(pool) == "<procession.pool.Pool state=RUN pool_size=1>"
        assert repr(view) == repr(pool)[:-1] + " timeout=3 errors='skip'>"
        assert repr(view.options(timeout=None, star=True)).endswith("=1 errors='skip' star=True>")
    with Executor(1, retries=2) as executor:
        assert repr(executor) == "<Executor of 1 workers, not started, retries=2>"
        assert repr(executor.options(name="x")).endswith(", retries=2, name='x'>")
