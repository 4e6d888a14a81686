"""A worker's life, from its seat to its exit code."""

from __future__ import annotations

import ctypes
import faulthandler
import logging
import mmap
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from procession._codec import messages
from procession._codec.exceptions import decode_exception
from procession._codec.objects import loads
from procession._worker.diary import Diary
from procession._worker.growth import Growth, private_bytes
from procession._worker.state import here, worker_id, worker_state
from tests.pool.gates import Gate, Log
from tests.worker.driving import driven
from tests.worker.hoarding import hoard

SERVE, BENCH, LEAVE = 0, 1, 2


@pytest.fixture
def log(tmp_path: Any) -> Log:
    """An empty log."""
    return Log(tmp_path / "log")


@pytest.fixture
def diary() -> Iterator[Diary]:
    """A diary that nobody has written to."""
    diary = Diary()
    yield diary
    diary.close()


def test_it_serves_until_the_channel_is_closed() -> None:
    with driven() as worker:
        for x in range(3):
            worker.call(abs, -x)
            assert worker.next().value == x
        assert worker.end() == 0


# What the initializer leaves


def _initialize(what: object) -> object:
    return [what, worker_id()]


def _look(_: int = 0) -> tuple[object, int]:
    return worker_state(), worker_id()


def test_a_task_finds_what_the_initializer_returned() -> None:
    with driven(initializer=_initialize, initargs=("made",)) as worker:
        worker.call(_look)
        assert worker.next().value == (["made", 0], 0)
        worker.each(_look, [1, 2])
        assert worker.next().outcomes == [(["made", 0], 0)] * 2
        assert worker.end() == 0


def _fork_and_look() -> int:
    pid = os.fork()
    if not pid:
        os._exit(0 if here.seat is None and here.state is None else 1)
    return os.waitpid(pid, 0)[1]


def test_a_child_of_the_worker_is_no_worker() -> None:
    with driven(initializer=_initialize, initargs=("made",)) as worker:
        worker.call(_fork_and_look)
        assert worker.next().value == 0
        worker.call(worker_id)
        assert worker.next().value == 0


def _fail(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize("error", [LookupError("no"), SystemExit(0), KeyboardInterrupt()])
def test_an_initializer_that_raises_is_reported(error: BaseException, log: Log) -> None:
    asked = {"initializer": _fail, "initargs": (error,), "finalizer": lambda: log.write("never")}
    with driven(start=False, **asked) as worker:
        worker.start(ready=False)
        news = worker.next()
        assert (news.number, news.kind) == (0, messages.INITIALIZER_FAILED)
        assert type(decode_exception(news.payload)) is type(error)
        assert worker.ended() == 1
    assert log.lines() == []


def test_surroundings_come_first(log: Log) -> None:
    with driven(
        settle=lambda: log.write(f"settle {worker_id()}"), initializer=lambda: log.write("init")
    ):
        assert log.lines() == ["settle 0", "init"]


# The end


def test_the_finalizer_is_called_before_an_orderly_end(log: Log) -> None:
    def finalize() -> None:
        log.write(f"{worker_state()} of {worker_id()}")

    with driven(initializer=_initialize, initargs=(1,), finalizer=finalize) as worker:
        worker.call(abs, -1)
        assert worker.next().value == 1
        assert log.lines() == []
        assert worker.end() == 0
        assert log.lines() == ["[1, 0] of 0"]


def test_a_finalizer_that_raises_ends_the_process_as_an_error() -> None:
    with driven(finalizer=lambda: _fail(LookupError("at the end"))) as worker:
        assert worker.end() == 99  # which the start of a process makes of an exception


def test_the_last_task_is_announced(log: Log) -> None:
    with driven(max_tasks=2, finalizer=lambda: log.write("end")) as worker:
        worker.call(abs, -1)
        assert worker.next().value == 1
        number = worker.call(abs, -2)
        news = worker.next()
        assert (news.number, news.kind, news.payload) == (0, messages.RETIRING, b"")
        assert worker.next().number == number
        assert worker.ended() == 0
    assert log.lines() == ["end"]


def test_a_range_counts_as_one_task() -> None:
    with driven(max_tasks=2) as worker:
        worker.each(abs, [-1, -2, -3])
        assert worker.next().outcomes == [1, 2, 3]
        worker.each(abs, [-4])
        assert worker.next().kind == messages.RETIRING
        assert worker.next().outcomes == [4]
        assert worker.ended() == 0


def test_who_is_told_to_leave_leaves(log: Log) -> None:
    with driven(finalizer=lambda: log.write("end")) as worker:
        worker.channel.duty(0, LEAVE)
        assert worker.ended() == 0
    assert log.lines() == ["end"]


def test_on_the_bench_nothing_is_claimed() -> None:
    with driven(start=False) as worker:
        worker.channel.duty(0, BENCH)
        worker.start()
        worker.call(abs, -1)
        assert worker.channel.seats() == []
        worker.channel.duty(0, SERVE)
        assert worker.next().value == 1
        assert worker.end() == 0


# Memory


class Clock:
    """Goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        """The time."""
        return self.now


def test_growth_is_seen_at_the_next_look(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, size = Clock(), 10_000_000
    monkeypatch.setattr("procession._worker.growth.time", clock)
    monkeypatch.setattr("procession._worker.growth.private_bytes", lambda: size)
    growth = Growth(1_000_000)
    size += 1_000_001
    assert not growth.is_too_much()
    clock.now += 0.3
    assert growth.is_too_much()
    size -= 1
    assert not growth.is_too_much()
    clock.now += 0.1
    assert not growth.is_too_much()
    clock.now += 0.3
    assert not growth.is_too_much()


def test_memory_is_measured() -> None:
    before = private_bytes()
    with mmap.mmap(-1, 32_000_000, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as pages:
        pages.write(b"x" * 32_000_000)
        assert private_bytes() - before > 30_000_000


def _always_look() -> None:
    growth: Any = sys.modules["procession._worker.growth"]
    growth._PAUSE = 0.0


def test_who_has_grown_too_much_announces_it_once_and_works_on() -> None:
    with driven(initializer=_always_look, max_memory=20_000_000) as worker:
        worker.call(hoard, 1_000_000)
        assert worker.next().value is None
        worker.call(hoard, 200_000_000)  # malloc may give back some 64 MB meanwhile
        assert worker.next().value is None
        news = worker.next()
        assert (news.number, news.kind) == (0, messages.RETIRING)
        for _ in range(2):
            worker.call(hoard, 40_000_000)
            assert worker.next().value is None
        worker.channel.duty(0, LEAVE)
        assert worker.ended() == 0
        assert not worker.arrivals


# Last words


def _say(*words: object) -> None:
    print(*words)


def _die(words: str) -> None:
    print(words)
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("output", ["plain", "tagged"])
def test_what_is_printed_outlives_the_worker(diary: Diary, output: str) -> None:
    with driven(diary=diary, output=output) as worker:
        worker.call(_say, "one", 1)
        worker.next()
        worker.call(_die, "last words")
        assert worker.ended() == -signal.SIGKILL
    assert diary.read(0) == ("one 1\nlast words\n", "")


def _crash() -> None:
    print("about to read nothing")
    ctypes.string_at(0)


def test_the_stack_of_a_crash_outlives_the_worker(diary: Diary) -> None:
    with driven(start=False, diary=diary) as worker:
        worker.before = faulthandler.disable  # pytest's
        worker.start()
        worker.call(_crash)
        assert worker.ended() == -signal.SIGSEGV
    output, stack = diary.read(0)
    assert output == "about to read nothing\n"
    assert stack.startswith("Fatal Python error: Segmentation fault")
    assert stack.endswith("in _crash\n")  # and nothing of ours


def _print(_: int) -> None:
    print("a line")


def test_lines_are_tagged_with_their_task(capfd: pytest.CaptureFixture[str]) -> None:
    with driven(output="tagged", initializer=_print, initargs=(0,)) as worker:
        worker.call(_say, "single")
        worker.next()
        worker.each(_print, [1])
        worker.next()
        worker.send(messages.CARRIED_CALL, lambda: print("carried"), ((), {}))
        worker.next()
        assert worker.end() == 0
    out = capfd.readouterr().out
    assert out == (
        "[worker 0] a line\n"
        "[worker 0 task _say#1] single\n"
        "[worker 0 task _print#2] a line\n"
        "[worker 0 task test_lines_are_tagged_with_their_task.<locals>.<lambda>#3] carried\n"
    )


def _log(text: str) -> None:
    logging.getLogger("a.name").info(text)


def test_log_records_come_before_the_answer() -> None:
    with driven(logs=logging.INFO) as worker:
        number = worker.call(_log, "a record")
        news = worker.next()
        assert (news.number, news.kind) == (0, messages.LOG_RECORD)
        record = loads(news.payload)
        assert (record["msg"], record["name"], record["levelname"]) == (
            "a record",
            "a.name",
            "INFO",
        )
        assert (record["worker"], record["task"]) == (0, f"_log#{number}")
        assert worker.next().number == number
        assert worker.end() == 0


def _log_later(gate: Gate) -> None:
    def later() -> None:
        gate.pass_through()
        _log("later")

    threading.Thread(target=later, daemon=True).start()


def test_a_thread_logs_while_the_worker_waits_for_work() -> None:
    gate = Gate()
    with driven(logs=logging.INFO) as worker:
        number = worker.call(_log_later, gate)
        assert worker.next().number == number
        gate.open()
        news = worker.next()
        assert news.kind == messages.LOG_RECORD
        assert (loads(news.payload)["msg"], loads(news.payload)["task"]) == ("later", None)
        assert worker.end() == 0
    gate.close()


def _log_in_threads(_: int) -> int:
    threads = [threading.Thread(target=_log_many, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    _log_many("m")
    for thread in threads:
        thread.join()
    return 7


def _log_many(name: str) -> None:
    for number in range(50):
        _log(f"{name}{number}")


def test_many_threads_log_at_once() -> None:
    with driven(logs=logging.INFO) as worker:
        worker.each(_log_in_threads, [1, 2])
        texts = []
        while (news := worker.next()).kind == messages.LOG_RECORD:
            texts.append(loads(news.payload)["msg"])
        assert news.outcomes == [7, 7]
        for name in "abcm":
            mine = [text for text in texts if text.startswith(name)]
            assert mine == [f"{name}{number}" for number in range(50)] * 2
        assert worker.end() == 0


def _log_and_fork() -> int:
    pid = os.fork()
    if not pid:
        _log("of the child")
        os._exit(0)
    return os.waitpid(pid, 0)[1]


def test_a_child_of_the_worker_sends_nothing() -> None:
    with driven(logs=logging.INFO) as worker:
        number = worker.call(_log_and_fork)
        news = worker.next()
        assert (news.number, news.value) == (number, 0)
        assert worker.end() == 0
