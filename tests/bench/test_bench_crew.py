"""The crews of the benchmarks: all begin when all are ready, and who fails is named."""

from __future__ import annotations

import mmap
import multiprocessing
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.crew import Crew, Part, Start


def as_process(function: Callable[..., None], arguments: tuple[Any, ...]) -> Any:
    process = multiprocessing.get_context("fork").Process(target=function, args=arguments)
    process.start()
    return process


def as_thread(function: Callable[..., None], arguments: tuple[Any, ...]) -> Any:
    thread = threading.Thread(target=function, args=arguments, daemon=True)
    thread.start()
    return thread


@pytest.fixture(autouse=True)
def _collects_again(monkeypatch: pytest.MonkeyPatch) -> None:
    # Threads of a crew would turn it off in this process.
    monkeypatch.setattr("benchmarks.crew.settle", lambda: None)


KINDS = pytest.mark.parametrize(
    ("start", "forks"), [(as_process, True), (as_thread, False)], ids=["processes", "threads"]
)


@KINDS
def test_each_member_does_its_part_as_often_as_told(start: Start, forks: bool) -> None:
    crew = Crew(start, [lambda n: n, lambda n: 10 * n, lambda n: -n], forks=forks)
    assert [crew.run(n).tallies for n in (1, 2, 300)] == [
        [1, 10, -1],
        [2, 20, -2],
        [300, 3000, -300],
    ]
    crew.close()


@KINDS
def test_the_time_is_from_the_first_begin_to_the_last_end(
    start: Start, forks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = memoryview(mmap.mmap(-1, 16)).cast("q")  # each member's own, moved by its part
    local = threading.local()
    monkeypatch.setattr("benchmarks.crew.perf_counter", lambda: float(clock[local.number]))

    def member(number: int, begin: int) -> Part:
        def part(n: int) -> int:
            clock[number] += n
            return 0

        clock[number] = begin
        return part

    def started(function: Callable[..., None], arguments: tuple[Any, ...]) -> Any:
        number = len(members)

        def named(*given: Any) -> None:
            local.number = number
            function(*given)

        members.append(start(named, arguments))
        return members[-1]

    members: list[Any] = []
    crew = Crew(started, [member(0, 100), member(1, 103)], forks=forks)
    assert crew.run(5).seconds == 8  # 100 to 105, and 103 to 108
    crew.close()


def test_nobody_begins_before_all_are_ready() -> None:
    ready, begun = os.pipe(), os.pipe()
    os.set_blocking(begun[0], False)

    def slow_to_start(function: Callable[..., None], arguments: tuple[Any, ...]) -> Any:
        def late(*given: Any) -> None:
            os.read(ready[0], 1)
            function(*given)

        return as_process(function if not members else late, arguments)

    def part(n: int) -> int:
        os.write(begun[1], b"x")
        return n

    members: list[Any] = []

    def start(function: Callable[..., None], arguments: tuple[Any, ...]) -> Any:
        members.append(slow_to_start(function, arguments))
        return members[-1]

    crew = Crew(start, [part, part])
    runner = threading.Thread(target=crew.run, args=(1,))
    runner.start()
    with pytest.raises(BlockingIOError):
        os.read(begun[0], 1)  # the second is not even there
    os.write(ready[1], b"x")
    runner.join()
    assert os.read(begun[0], 9) == b"xx"
    crew.close()
    for descriptor in ready + begun:
        os.close(descriptor)


def waiting_for_ever(n: int) -> int:
    threading.Event().wait()
    return n


def failing(n: int) -> int:
    raise ValueError("no more")


def dying(n: int) -> int:
    os._exit(3)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (failing, "a member of the crew failed: ValueError: no more"),
        (dying, "a member of the crew has died"),
    ],
)
def test_who_fails_is_heard_though_others_wait_for_ever(part: Part, message: str) -> None:
    crew = Crew(as_process, [waiting_for_ever, part])
    with pytest.raises(RuntimeError, match=message):
        crew.run(1)
    crew.close()  # and that all are gone is seen to by the leak check


def test_a_crew_without_a_member_that_died_is_of_no_use() -> None:
    crew = Crew(as_process, [dying])
    for _ in range(2):
        with pytest.raises(RuntimeError, match="has died"):
            crew.run(1)
    crew.close()
