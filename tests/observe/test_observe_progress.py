"""The thread that shows how far a call has come: what it is given, and how it ends."""

from __future__ import annotations

import gc
import io
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from procession._observe import progress
from procession._observe.progress import Counts, Progress, Snapshot, check_progress, open_progress
from tests.plugins.scripts import RunScript

DONE = Counts(done=1000)


class Work:
    """A call that is told how far it is; it can be waited for until it was asked."""

    def __init__(self, *counts: Counts) -> None:
        self._counts = list(counts)
        self.asked: queue.SimpleQueue[Counts] = queue.SimpleQueue()

    def count(self) -> Counts:
        counts = self._counts.pop(0) if len(self._counts) > 1 else self._counts[0]
        self.asked.put(counts)
        return counts


def _open(spec: Any, source: Callable[[], Counts], total: int | None = 1000) -> Progress:
    shown = open_progress(spec, source, total, "work")
    assert shown is not None
    return shown


def _bars() -> list[str]:
    return [thread.name for thread in threading.enumerate() if "progress" in thread.name]


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch) -> list[type[BaseException]]:
    """What threads reported."""
    found: list[type[BaseException]] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: found.append(args.exc_type))
    return found


def test_a_function_gets_snapshots_and_the_last_state() -> None:
    got: queue.SimpleQueue[Snapshot] = queue.SimpleQueue()
    work = Work(Counts(0), Counts(10, failed=1, retried=2, running=3), DONE)
    bar = _open(got.put, work.count)
    first, second, third = (got.get() for _ in range(3))
    assert (first.done, first.total, first.eta) == (0, 1000, None)
    assert (second.done, second.failed, second.retried, second.running) == (10, 1, 2, 3)
    assert second.rate > 0
    assert second.eta is not None
    assert third.done == 1000
    bar.close(True)
    last = got.get_nowait()
    assert (last.done, last.eta) == (1000, 0.0)
    assert got.empty()
    with pytest.raises(AttributeError):
        last.done = 5  # type: ignore[misc]


def test_a_function_is_called_for_changes_only() -> None:
    got: list[int] = []
    work = Work(Counts(1), Counts(1), Counts(1), Counts(2))
    bar = _open(lambda shown: got.append(shown.done), work.count)
    for _ in range(5):
        work.asked.get()
    bar.close(True)
    assert got == [1, 2, 2]


def test_what_changed_at_the_very_end_is_shown() -> None:
    got: list[int] = []
    counts = Counts(0)
    bar = _open(lambda shown: got.append(shown.done), lambda: counts)
    counts = DONE
    bar.close(True)
    assert got[-1] == 1000
    assert not _bars()


def test_nothing_is_opened_for_nothing() -> None:
    for spec in (None, False):
        assert open_progress(spec, lambda: DONE, 1000, "work") is None
    assert not _bars()


@pytest.mark.parametrize("stream", [None, "closed"])
@pytest.mark.parametrize("spec", [True, "label", {"desc": "label"}])
def test_nothing_is_shown_where_standard_error_is_closed(
    spec: Any, stream: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed if stream else None)
    assert open_progress(spec, lambda: DONE, 1000, "work") is None


@pytest.mark.parametrize("spec", [3, 1.5, ["tqdm"], object()])
def test_a_wrong_kind_is_refused(spec: Any) -> None:
    with pytest.raises(TypeError, match="progress must be True, a label, .* not "):
        check_progress(spec)
    with pytest.raises(TypeError, match="progress must be"):
        open_progress(spec, lambda: DONE, None, "work")


@pytest.mark.parametrize("spec", [None, False, True, "label", {}, print])
def test_a_right_kind_is_not(spec: Any) -> None:
    check_progress(spec)


def test_an_error_of_the_function_is_reported_once_and_ends_the_bar(
    reported: list[type[BaseException]],
) -> None:
    def fail(shown: Snapshot) -> None:
        raise ZeroDivisionError

    work = Work(DONE)
    bar = _open(fail, work.count)
    bar._thread.join()
    bar.close(True)
    assert reported == [ZeroDivisionError]
    assert work.asked.qsize() == 1


def test_an_error_of_the_function_at_the_end_is_reported(
    reported: list[type[BaseException]],
) -> None:
    work = Work(Counts(0))

    def fail(shown: Snapshot) -> None:
        if shown.done:
            raise ZeroDivisionError

    bar = _open(fail, work.count)
    work.asked.get()
    work._counts = [DONE]
    bar.close(True)
    assert reported == [ZeroDivisionError]


def test_it_can_be_closed_again_and_by_several_threads() -> None:
    got: list[int] = []
    bar = _open(lambda shown: got.append(shown.done), lambda: DONE)
    threads = [threading.Thread(target=bar.close, args=(True,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bar.close(False)
    assert len(got) <= 2
    assert not _bars()


def test_the_function_may_close_it() -> None:
    bars: queue.SimpleQueue[Progress] = queue.SimpleQueue()
    got: list[int] = []

    def close(shown: Snapshot) -> None:
        got.append(shown.done)
        if len(got) == 1:
            bars.get().close(True)

    bar = _open(close, lambda: DONE)
    bars.put(bar)
    bar._thread.join()
    assert got == [1000, 1000]


def test_a_signal_handler_may_close_it(keeps_handlers: None) -> None:
    looked = threading.Event()

    def source() -> Counts:
        looked.set()
        return DONE

    got: list[int] = []
    bar = _open(lambda shown: got.append(shown.done), source)
    signal.signal(signal.SIGALRM, lambda *_: bar.close(False))
    looked.wait()
    for _ in range(50):  # one signal each: a slow machine would do nothing but handle them
        signal.setitimer(signal.ITIMER_REAL, 0.0001)
        bar.close(True)
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert got[-1] == 1000
    assert not _bars()


def test_a_function_that_is_stuck_does_not_hold_up_the_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress, "PATIENCE", 0.01)
    gate = threading.Event()
    bar = _open(lambda shown: gate.wait(), lambda: DONE)
    bar.close(True)
    assert _bars()
    gate.set()
    bar._thread.join()


def test_a_forked_copy_does_nothing() -> None:
    got: list[int] = []
    bar = _open(lambda shown: got.append(shown.done), lambda: DONE)
    pid = os.fork()
    if not pid:
        bar.close(True)
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    bar.close(True)
    assert got[-1] == 1000


def test_it_keeps_nobody_alive() -> None:
    got: list[int] = []
    work = Work(Counts(5))
    bar = _open(lambda shown: got.append(shown.done), work.count)
    work.asked.get()
    del work
    gc.collect()
    bar._thread.join()
    assert got[-1] == 5
    bar.close(True)


def test_a_total_that_becomes_known_is_told() -> None:
    got: queue.SimpleQueue[Snapshot] = queue.SimpleQueue()
    work = Work(Counts(5), Counts(10, total=20))
    bar = _open(got.put, work.count, total=None)
    assert got.get().total is None
    assert got.get().total == 20
    bar.close(False)


def test_a_program_that_ends_with_an_open_bar_ends(run_script: RunScript) -> None:
    done = run_script(
        "import sys\n"
        "from procession._observe.progress import Counts, open_progress\n"
        "sys.modules['tqdm'] = None\n"
        "bar = open_progress(True, lambda: Counts(3), 10, 'work')\n"
        "print('end')\n"
    )
    assert (done.returncode, done.stdout) == (0, "end\n")
    assert done.stderr.startswith("work  stopped at 3/10 after 0:00")


def test_nothing_of_the_optional_packages_is_loaded_before_a_bar_is_opened(
    run_script: RunScript,
) -> None:
    done = run_script(
        "import sys\n"
        "import procession._observe.progress\n"
        "print({'tqdm', 'rich'} & set(sys.modules))\n"
    )
    assert done.stdout == "set()\n"
