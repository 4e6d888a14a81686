"""What a worker writes into its diary is there after its death, and only its own."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from procession._worker.diary import PAGE, ROOM, STACK, Diary, attach
from tests.worker.forked import forked


@pytest.fixture
def diary() -> Iterator[Diary]:
    """A diary that nobody has written to."""
    diary = Diary()
    yield diary
    diary.close()


def test_nothing_is_known_of_who_said_nothing(diary: Diary) -> None:
    assert diary.read(0) == diary.read(4000) == ("", "")
    diary.clear(7)
    assert os.fstat(diary.fileno()).st_blocks == 0


@pytest.mark.parametrize("seat", [0, 1, 3999])
def test_lines_are_kept(diary: Diary, seat: int) -> None:
    page = diary.open(seat)
    page.note("one\n")
    page.note("two ")
    assert diary.read(seat) == ("one\ntwo ", "")
    page.note("halves\n")
    assert diary.read(seat) == ("one\ntwo halves\n", "")
    assert [diary.read(other) for other in (0, 1, 3999) if other != seat] == [("", "")] * 2


def test_a_part_of_a_line_is_kept_at_once(diary: Diary) -> None:
    page = diary.open(0)
    for number in range(3 * PAGE):
        page.note("abc"[number % 3])
        if number < 9:
            assert diary.read(0) == ("abcabcabc"[: number + 1], "")
    text = diary.read(0)[0]
    assert len(text) == ROOM
    assert text in "abc" * PAGE
    assert text.endswith("abc")


def test_many_threads_may_note(diary: Diary) -> None:
    page = diary.open(0)

    def note() -> None:
        for _ in range(20_000):
            page.note("12345678\n")

    threads = [threading.Thread(target=note) for _ in range(4)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(before)
    page.note("the end\n")
    assert diary.read(0)[0].endswith("the end\n")


def test_a_progress_bar_is_kept_as_it_is_drawn(diary: Diary) -> None:
    page = diary.open(0)
    page.note("\r 10%")
    assert diary.read(0)[0] == "\r 10%"


def test_of_much_output_the_last_lines_are_kept_whole(diary: Diary) -> None:
    page = diary.open(2)
    for number in range(5000):
        page.note(f"line {number}\n")
    lines = diary.read(2)[0].splitlines()
    assert lines[-1] == "line 4999"
    assert lines == [f"line {number}" for number in range(5000 - len(lines), 5000)]
    assert ROOM * 0.9 < len(diary.read(2)[0]) <= ROOM
    assert diary.read(1) == diary.read(3) == ("", "")


def test_of_a_huge_line_the_end_is_kept(diary: Diary) -> None:
    page = diary.open(0)
    page.note("x" * 1_000_000 + "end")
    text = diary.read(0)[0]
    assert text == "x" * (ROOM - 3) + "end"


def test_any_text_can_be_noted(diary: Diary) -> None:
    page = diary.open(0)
    page.note("Grüße \udc80 \0 終\n")
    assert diary.read(0)[0] == "Grüße \\udc80 \0 終\n"


def test_a_letter_cut_in_two_is_no_error(diary: Diary) -> None:
    diary.open(0).note("終" * ROOM + "\n")
    assert diary.read(0)[0].endswith("終終\n")


def test_a_cleared_region_is_empty(diary: Diary) -> None:
    for seat in (0, 1):
        diary.open(seat).note("words\n")
    diary.clear(0)
    assert diary.read(0) == ("", "")
    assert diary.read(1) == ("words\n", "")


def test_a_closed_diary_is_silent(diary: Diary) -> None:
    fd = diary.fileno()
    diary.close()
    diary.close()
    diary.clear(0)
    assert diary.read(0) == ("", "")
    assert diary.fileno() == -1
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_it_travels_as_a_descriptor(diary: Diary) -> None:
    class Way:
        def detach(self) -> int:
            return os.dup(diary.fileno())

    other = attach(Way())
    other.open(5).note("from afar\n")
    other.close()
    assert diary.read(5)[0] == "from afar\n"


def test_a_forked_child_s_words_are_not_the_worker_s(diary: Diary) -> None:
    page = diary.open(0)
    page.note("mine\n")

    def child() -> None:
        page.leave()
        page.note("the child's\n")

    assert forked(child) == 0
    assert diary.read(0)[0] == "mine\n"


def _crash(_: int = 0) -> None:
    ctypes.string_at(0)


def _sink(depth: int) -> None:
    if depth:
        _sink(depth - 1)
    else:
        _crash()


def _worker(diary: Diary, seat: int, crash: Callable[[], object]) -> Callable[[], object]:
    def work() -> None:
        faulthandler.disable()  # pytest's
        diary.open(seat).keep_stacks()
        crash()

    return work


def test_a_fatal_signal_leaves_its_stack(diary: Diary) -> None:
    assert forked(_worker(diary, 3, _crash)) == -signal.SIGSEGV
    output, stack = diary.read(3)
    assert output == ""
    assert stack.startswith("Fatal Python error: Segmentation fault")
    assert "in _crash\n" in stack
    assert diary.read(0) == diary.read(4) == ("", "")


def test_the_next_worker_s_stack_is_its_own(diary: Diary) -> None:
    assert forked(_worker(diary, 0, lambda: _sink(50))) == -signal.SIGSEGV
    diary.clear(0)
    assert diary.read(0) == ("", "")
    assert forked(_worker(diary, 0, os.abort)) == -signal.SIGABRT
    stack = diary.read(0)[1]
    assert stack.startswith("Fatal Python error: Aborted")
    assert "_sink" not in stack


def test_a_deep_stack_spoils_nobody_s_words(diary: Diary, tmp_path: Path) -> None:
    for seat in (0, 1):
        diary.open(seat).note("words\n")
    name = "f" * 400
    scope: dict[str, Callable[[int], object]] = {"crash": _crash}
    exec(compile(f"def {name}(n): {name}(n - 1) if n else crash(n)", "g" * 400, "exec"), scope)
    assert forked(_worker(diary, 0, lambda: scope[name](150))) == -signal.SIGSEGV
    output, stack = diary.read(0)
    assert output == "words\n"
    assert STACK * 0.8 < len(stack) <= STACK
    assert all(line.startswith("  File") for line in stack.splitlines()[3:])
    assert diary.read(1) == ("words\n", "")


def test_a_fault_handler_of_the_user_s_is_left_alone(diary: Diary, tmp_path: Path) -> None:
    def crash() -> None:
        with open(tmp_path / "theirs", "w") as file:
            faulthandler.enable(file)
            diary.open(0).keep_stacks()
            _crash()

    assert forked(crash) == -signal.SIGSEGV
    assert diary.read(0) == ("", "")
    assert "in _crash" in (tmp_path / "theirs").read_text()


def test_a_crash_of_a_worker_s_child_is_not_the_worker_s(diary: Diary) -> None:
    def work() -> None:
        faulthandler.disable()
        page = diary.open(0)
        page.keep_stacks()

        def child() -> None:
            page.leave()
            _crash()

        assert forked(child) == -signal.SIGSEGV

    assert forked(work) == 0
    assert diary.read(0) == ("", "")


def test_a_worker_of_a_worker_has_a_stack_of_its_own(diary: Diary) -> None:
    def work() -> None:
        faulthandler.disable()
        page = diary.open(0)
        page.keep_stacks()

        def child() -> None:
            page.leave()
            diary.open(1).keep_stacks()
            _crash()

        assert forked(child) == -signal.SIGSEGV

    assert forked(work) == 0
    assert diary.read(0) == ("", "")
    assert "in _crash" in diary.read(1)[1]


def test_no_room_for_a_diary_s_words_is_no_error() -> None:
    diary = Diary(os.open("/dev/full", os.O_RDWR))
    page = diary.open(0)
    page.note("lost\n")
    diary.clear(0)
    diary.close()
