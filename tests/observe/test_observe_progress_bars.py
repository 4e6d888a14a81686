"""Where progress is shown: our own line, tqdm, rich; on streams and clocks made for it."""

from __future__ import annotations

import builtins
import io
import os
import sys
import threading
from functools import partial
from typing import Any

import pytest
import rich.console
import rich.progress
import tqdm
import tqdm.std

from procession._observe import progress_bars
from procession._observe.progress import Counts, open_progress
from procession._observe.progress_bars import LineBar, RichBar, TheirBar, TqdmBar
from procession._observe.progress_meter import Meter, Snapshot


class Terminal(io.StringIO):
    """A stream that says it is one."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def at(
    done: int, elapsed: float = 1.0, total: int | None = 100, failed: int = 0, retried: int = 0
) -> Snapshot:
    """How it stands after so many seconds."""
    meter = Meter(total, 0.0)
    return meter.read(Counts(done, failed, retried), elapsed)


def show(bar: Any, *shown: Snapshot, success: bool = True) -> None:
    for one in shown:
        bar.show(one)
    bar.close(shown[-1], success)


# ---- a line of our own


def test_on_a_terminal_one_line_is_drawn_over_and_over() -> None:
    stream = Terminal()
    show(LineBar(stream, "work"), at(0), at(50), at(50), at(100))
    drawn = stream.getvalue()
    assert drawn.endswith("\n")
    lines = drawn[:-1].split("\r")
    assert lines[0] == ""
    assert [line.split()[1] for line in lines[1:-1]] == ["0%", "50%", "100%"]
    assert lines[-1].rstrip() == "work  100/100 in 0:01  100/s"
    assert len({len(line) for line in lines[2:]}) == 1  # what was there before is covered
    assert "\n" not in drawn[:-1]


def test_in_a_file_there_are_few_lines_and_always_the_last() -> None:
    stream = io.StringIO()
    every_second = [at(second, float(second), total=2000) for second in range(1, 1001)]
    show(LineBar(stream, "work"), *every_second)
    lines = stream.getvalue().splitlines()
    assert [line.split()[3] for line in lines[:-1]] == [
        f"{second}/2000" for second in (10, 30, 70, 150, 310, 610, 910)
    ]
    assert lines[-1].startswith("work  1000/2000 in 16:40")
    assert "\r" not in stream.getvalue()


def test_a_short_call_leaves_one_line_in_a_file() -> None:
    stream = io.StringIO()
    show(LineBar(stream, "work"), at(0), at(100))
    assert stream.getvalue() == "work  100/100 in 0:01  100/s\n"


def test_where_it_stopped_is_said() -> None:
    stream = io.StringIO()
    show(LineBar(stream, "work"), at(30, failed=1, retried=4), success=False)
    assert stream.getvalue() == (
        "work  stopped at 30/100 after 0:01  30.0/s  1 failed, 4 retried\n"
    )


def test_a_label_stays_on_its_line() -> None:
    stream = io.StringIO()
    show(LineBar(stream, "two\nlines\t here"), at(100))
    assert stream.getvalue().startswith("two lines here  100/100")


@pytest.mark.parametrize(("encoding", "block"), [("utf-8", "█"), ("ascii", "#"), ("latin-1", "#")])
def test_the_bar_is_of_what_the_stream_can_write(encoding: str, block: str) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, write_through=True)
    bar = LineBar(stream, "work")
    assert bar._blocks[0] == block


def test_a_real_stream_is_written_past_its_locks() -> None:
    read, write = os.pipe()
    with os.fdopen(read) as reader, open(write, "w", encoding="utf-8") as stream:
        show(LineBar(stream, "wörk"), at(100))
        stream.close()
        assert reader.read() == "wörk  100/100 in 0:01  100/s\n"


def test_a_stream_that_is_closed_meanwhile_ends_nothing() -> None:
    stream = Terminal()
    bar = LineBar(stream, "work")
    bar.show(at(1))
    stream.close()
    show(bar, at(2))


def test_a_pipe_that_nobody_reads_ends_nothing() -> None:
    read, write = os.pipe()
    os.close(read)
    with open(write, "w", encoding="utf-8") as stream:
        show(LineBar(stream, "work"), at(2))


# ---- tqdm


def tqdm_bar(stream: Any, total: int | None = 100, **options: Any) -> TqdmBar:
    return TqdmBar(tqdm.tqdm, total, {"file": stream, "desc": "work", **options})


def test_tqdm_shows_every_batch_and_what_failed() -> None:
    stream = Terminal()
    show(tqdm_bar(stream), at(0), at(60), at(61, failed=1), at(100, failed=1, retried=2))
    drawn = stream.getvalue()
    for part in ("work:", "60/100", "61/100", "100/100", "1 failed", "1 failed, 2 retried"):
        assert part in drawn
    assert drawn.endswith("\n")


def test_tqdm_that_stops_is_left_where_it_was() -> None:
    stream = Terminal()
    show(tqdm_bar(stream), at(30), success=False)
    assert "30/100" in stream.getvalue().splitlines()[-1]


def test_tqdms_clock_goes_on_while_nothing_comes() -> None:
    stream = Terminal()
    bar = tqdm_bar(stream)
    bar.show(at(30, 1.0))
    before = stream.tell()
    bar.show(at(30, 1.5))
    assert stream.tell() == before
    bar.show(at(30, 2.0))
    assert stream.tell() > before
    bar.close(at(30, 2.0), True)


def test_tqdm_learns_a_total() -> None:
    stream = Terminal()
    show(tqdm_bar(stream, None), at(30, total=None), at(40, total=80))
    assert "30it" in stream.getvalue()
    assert "40/80" in stream.getvalue()


def test_tqdm_starts_no_thread_and_shares_no_lock_with_processes() -> None:
    threads = threading.active_count()
    bar = tqdm_bar(Terminal())
    assert threading.active_count() == threads
    assert not isinstance(bar._bar.get_lock(), tqdm.std.TqdmDefaultWriteLock)
    bar.close(at(1), True)


def test_bars_of_tqdm_stand_below_each_other() -> None:
    stream = Terminal()
    with tqdm_class()(total=3, file=stream, leave=False) as theirs:
        ours = tqdm_bar(stream)
        assert {abs(theirs.pos), abs(ours._bar.pos)} == {0, 1}
        ours.close(at(1), True)


def tqdm_class() -> Any:
    """tqdm as a program has it, without the thread that it starts for its first bar."""
    return type("tqdm", (tqdm.tqdm,), {"monitor_interval": 0, "_lock": threading.RLock()})


def test_tqdm_on_a_stream_that_is_closed_meanwhile_ends_nothing() -> None:
    stream = Terminal()
    bar = tqdm_bar(stream)
    bar.show(at(1))
    stream.close()
    show(bar, at(2, 2.0), at(2, 9.0))


def test_tqdms_bar_of_the_users_is_updated_and_not_closed() -> None:
    stream = Terminal()
    with tqdm_class()(total=200, file=stream, mininterval=0) as bar:
        for _ in range(2):
            shown = open_progress(bar, lambda: Counts(100), 100, "work")
            assert shown is not None
            shown.close(True)
        assert bar.n == 200
        assert not bar.disable
    assert "200/200" in stream.getvalue()


def test_anything_with_update_is_a_bar() -> None:
    class Given:
        total = 100

        def __init__(self) -> None:
            self.got: list[int] = []

        def update(self, n: int) -> None:
            self.got.append(n)

    given = Given()
    show(TheirBar(given), at(0), at(30), at(30), at(100))
    assert given.got == [30, 70]


@pytest.mark.parametrize("is_partial", [False, True])
def test_a_class_of_tqdms_is_opened_and_closed(is_partial: bool) -> None:
    made: list[Any] = []
    stream = Terminal()

    class Mine(tqdm.tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **{"file": stream, **options})
            made.append(self)

    spec = partial(Mine, desc="own", unit="file") if is_partial else Mine
    shown = open_progress(spec, lambda: Counts(100), 100, "work")
    assert shown is not None
    shown.close(True)
    (bar,) = made
    assert (bar.n, bar.total, bar.disable) == (100, 100, True)
    assert bar.desc.startswith("own" if is_partial else "work")


def test_true_a_label_and_options_open_tqdm_on_standard_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for spec, label, total in [(True, "work", 100), ("own", "own", 100), ({"total": 7}, "work", 7)]:
        stream = Terminal()
        monkeypatch.setattr(sys, "stderr", stream)
        shown = open_progress(spec, lambda: Counts(5), 100, "work")
        assert shown is not None
        shown.close(True)
        assert f"{label}:" in stream.getvalue()
        assert f"5/{total} " in stream.getvalue()


def test_options_that_tqdm_does_not_know_are_the_callers_error() -> None:
    with pytest.raises(KeyError, match="colour_of"):
        open_progress({"colour_of": "red", "file": Terminal()}, lambda: Counts(5), 100, "work")


def test_without_tqdm_there_is_a_line_of_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    found = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "tqdm":
            raise ModuleNotFoundError(name)
        return found(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    stream = io.StringIO()
    options = {"file": stream, "desc": "own", "total": 8, "unit": "file"}
    shown = open_progress(options, lambda: Counts(4), None, "work")
    assert shown is not None
    shown.close(False)
    assert stream.getvalue().startswith("own  stopped at 4/8 after 0:00")


# ---- rich


def _console() -> rich.console.Console:
    return rich.console.Console(file=io.StringIO(), force_terminal=True, width=100)


def test_a_progress_of_richs_gets_a_task_and_goes_on() -> None:
    console = _console()
    with rich.progress.Progress(console=console, auto_refresh=False) as shown:
        bar = open_progress(shown, lambda: Counts(40, failed=2), 100, "work [all]")
        assert bar is not None
        bar.close(True)
        (task,) = shown.tasks
        assert (task.completed, task.total) == (40, 100)
        assert shown.live.is_started
        shown.refresh()
    assert "work [all] (2 failed)" in console.file.getvalue()


def test_a_class_of_richs_is_started_and_stopped() -> None:
    console = _console()
    made: list[Any] = []

    class Mine(rich.progress.Progress):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(console=console, auto_refresh=False)
            made.append(self)

    show(RichBar(Mine, 100, "work"), at(100))
    assert made[0].finished
    assert not made[0].live.is_started


# ---- what they are


def test_a_dict_is_no_bar_although_it_has_update() -> None:
    stream = io.StringIO()
    shown = open_progress({"file": stream, "desc": "own"}, lambda: Counts(1), 2, "work")
    assert shown is not None
    assert isinstance(shown._bar, TqdmBar)
    shown.close(True)


def test_a_width_is_taken_from_the_terminal() -> None:
    main, terminal = os.openpty()
    with open(terminal, "w", encoding="utf-8") as stream:
        os.environ.pop("COLUMNS", None)
        bar = LineBar(stream, "work")
        assert bar._width() == progress_bars.WIDTH - 1  # it says 0: it does not know
    os.close(main)
