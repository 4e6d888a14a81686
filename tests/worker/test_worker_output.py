"""What a worker prints is noted, tagged where that is asked, and otherwise as it was."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from procession._launch import streams
from procession._worker.diary import Diary
from procession._worker.output import end_lines, unfinished, watch
from procession._worker.state import here
from tests.worker.forked import forked


@pytest.fixture
def diary() -> Iterator[Diary]:
    """A diary that nobody has written to."""
    diary = Diary()
    yield diary
    diary.close()


def convert() -> None:
    """Gives a task its name."""


class Printing:
    """A child with streams of its own, on pipes, put in order as those of a worker."""

    def __init__(self, diary: Diary, *, tagged: bool) -> None:
        self._diary = diary
        self._tagged = tagged

    def run(self, function: Callable[[], object], out: int, err: int) -> None:
        """Have it print; `out` and `err` are its standard streams."""
        sys.stdout = open(out, "w", encoding="utf-8")  # noqa: SIM115
        sys.stderr = open(err, "w", encoding="utf-8")  # noqa: SIM115
        streams.enter_child(parent_had_threads=False)
        here.seat, here.known = 2, {5: convert}
        watch(self._diary.open(2), tagged=self._tagged)
        function()
        streams.flush_output()

    def __call__(self, function: Callable[[], object]) -> list[str]:
        """Each piece that came, in the order of the writes."""
        # Packets: what one write() wrote is read by one read().
        read, write = os.pipe2(os.O_DIRECT)
        assert forked(lambda: self.run(function, write, os.dup(write))) == 0
        os.close(write)
        pieces = []
        while piece := os.read(read, 65536):
            pieces.append(piece.decode())
        os.close(read)
        return pieces


@pytest.fixture
def plain(diary: Diary) -> Printing:
    """A worker that prints without tags."""
    return Printing(diary, tagged=False)


@pytest.fixture
def tagged(diary: Diary) -> Printing:
    """A worker that prints with tags."""
    return Printing(diary, tagged=True)


def _at(number: int, function: int = 5) -> None:
    here.number, here.function = number, function


def test_plain_lines_go_out_whole_and_are_noted(plain: Printing, diary: Diary) -> None:
    def task() -> None:
        _at(17)
        print("one", 2, "three")
        print("two\nlines")
        print("oops", file=sys.stderr)

    assert plain(task) == ["one 2 three\n", "two\nlines\n", "oops\n"]
    assert diary.read(2)[0] == "one 2 three\ntwo\nlines\noops\n"


def test_tagged_lines_go_out_whole(tagged: Printing, diary: Diary) -> None:
    def task() -> None:
        print("before")
        _at(17)
        print("one", 2, "three")
        print("two\nlines\n")
        print("oops", file=sys.stderr)

    tag = "[worker 2 task convert#17] "
    assert tagged(task) == [
        "[worker 2] before\n",
        f"{tag}one 2 three\n",
        f"{tag}two\n{tag}lines\n",
        f"{tag}\n",
        f"{tag}oops\n",
    ]
    assert diary.read(2)[0] == "before\none 2 three\ntwo\nlines\n\noops\n"


def test_a_line_in_pieces_has_one_tag(tagged: Printing) -> None:
    def task() -> None:
        for piece in ("a", "b", "\nc", "\n"):
            sys.stdout.write(piece)

    assert "".join(tagged(task)) == "[worker 2] ab\n[worker 2] c\n"


def test_a_progress_bar_keeps_its_tag(tagged: Printing) -> None:
    def task() -> None:
        for percent in (10, 20):
            sys.stderr.write(f"\r{percent}%")
        sys.stderr.write("\n")

    assert tagged(task) == ["\r[worker 2] 10%", "\r[worker 2] 20%", "\n"]


def test_write_tells_the_length_of_the_text(tagged: Printing, plain: Printing) -> None:
    def task() -> None:
        assert sys.stdout.write("four") == 4
        assert sys.stdout.write("\n") == 1

    for printing in (tagged, plain):
        printing(task)


@pytest.mark.parametrize("flush", [True, False])
def test_an_unfinished_line_is_noted(plain: Printing, diary: Diary, flush: bool) -> None:
    def task() -> None:
        print("reading", 5, end=" ... ", flush=flush)
        os._exit(0)

    assert plain(task) == ["reading 5 ... "] * flush
    assert diary.read(2)[0] == "reading 5 ... "


def test_a_task_s_unfinished_line_ends_with_the_task(tagged: Printing, diary: Diary) -> None:
    def task() -> None:
        for number in (17, 18):
            _at(number)
            print("reading", number, end=" ... ")
            end_lines()
            end_lines()

    assert tagged(task) == [f"[worker 2 task convert#{n}] reading {n} ... \n" for n in (17, 18)]
    assert diary.read(2)[0] == "reading 17 ... \nreading 18 ... \n"


def test_without_tags_a_line_may_go_on_in_the_next_task(plain: Printing) -> None:
    def task() -> None:
        print("reading", end=" ... ")
        end_lines()
        print("done")

    assert plain(task) == ["reading ... ", "done\n"]  # not kept back between them


def test_lines_written_at_once_are_noted(plain: Printing, diary: Diary) -> None:
    plain(lambda: sys.stdout.writelines(["a\n", "b\n"]))
    assert diary.read(2)[0] == "a\nb\n"


def test_what_is_no_text_is_refused_as_ever(plain: Printing, tagged: Printing) -> None:
    def task() -> None:
        with pytest.raises(TypeError, match="must be str, not bytes"):
            sys.stdout.write(b"bytes")  # type: ignore[arg-type]

    assert plain(task) == tagged(task) == []


def test_who_prints_into_a_redirected_stream_is_not_noted(plain: Printing, diary: Diary) -> None:
    def task() -> None:
        kept, sys.stdout = sys.stdout, io.StringIO()
        print("captured")
        sys.stdout = kept

    assert plain(task) == []
    assert diary.read(2)[0] == ""


def test_missing_and_odd_streams_are_left_alone(diary: Diary) -> None:
    class Odd:
        __slots__ = ("text",)

        def write(self, text: str) -> None:
            self.text = getattr(self, "text", "") + text

    def task() -> None:
        odd = Odd()
        mine: Any = sys
        mine.stdout, mine.stderr = None, odd
        watch(diary.open(0), tagged=True)
        print("nowhere")
        print("odd", file=sys.stderr)
        assert odd.text == "odd\n"

    assert forked(task) == 0


def test_a_worker_of_a_worker_has_one_tag_and_its_own_page(tagged: Printing, diary: Diary) -> None:
    inner = Diary()

    def task() -> None:
        print("outer")
        here.seat = 0
        watch(inner.open(0), tagged=True)
        print("inner")

    assert tagged(task) == ["[worker 2] outer\n", "[worker 0] inner\n"]
    assert diary.read(2)[0] == "outer\n"
    assert inner.read(0)[0] == "inner\n"
    inner.close()


def test_without_page_and_tags_nothing_is_touched() -> None:
    before: Any = dict(vars(sys.stdout)), dict(vars(sys.stderr))
    watch(None, tagged=False)
    assert (dict(vars(sys.stdout)), dict(vars(sys.stderr))) == before


def test_only_what_is_unfinished_needs_an_end(plain: Printing) -> None:
    def task() -> None:
        for _ in range(3):
            print("line", bool(unfinished))
        print("reading", end=" ... ")
        end_lines()
        print(bool(unfinished))

    assert plain(task) == ["line False\n"] * 3 + ["reading ... ", "False\n"]
