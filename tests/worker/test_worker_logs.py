"""A worker's log records arrive at the parent's loggers, as they were."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from procession._codec import messages
from procession._engine.records import handle_record
from procession._worker.logs import encode_record, ship
from procession._worker.state import here
from tests.worker.forked import forked

ROOT = logging.getLogger()


class FakeChannel:
    """Passes on what is answered."""

    def __init__(self, write: int) -> None:
        self._write = write

    def answer(self, number: int, kind: int, payload: bytes) -> None:
        """Log records only."""
        assert (number, kind) == (0, messages.LOG_RECORD)
        os.write(self._write, len(payload).to_bytes(4, "little") + payload)


def _in_a_worker(work: Callable[[], object], level: int = logging.INFO) -> list[bytes]:
    """What a forked worker sends while it does `work`."""
    read, write = os.pipe()

    def worker() -> None:
        here.seat, here.number = 2, 17
        here.carried = _in_a_worker
        channel: Any = FakeChannel(write)
        ship(channel, level)
        work()

    code = forked(worker)
    os.close(write)
    with open(read, "rb") as file:
        content = file.read()
    assert code == 0
    sent = []
    while content:
        size = int.from_bytes(content[:4], "little")
        sent.append(content[4 : 4 + size])
        content = content[4 + size :]
    return sent


class Collecting(logging.Handler):
    """Keeps what it is to handle, as it would be printed."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[Any] = []
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        self.lines.append(self.format(record))


@pytest.fixture
def handler() -> Iterator[Collecting]:
    """On the root logger; not to be used in workers, which have a copy."""
    handler = Collecting()
    root = logging.getLogger()
    root.addHandler(handler)
    yield handler
    root.removeHandler(handler)


def test_a_record_arrives_with_worker_and_task(handler: Collecting) -> None:
    sent = _in_a_worker(lambda: logging.getLogger("tests.logs").info("%s of %d", "one", 3))
    assert handler.records == []
    for payload in sent:
        handle_record(payload)
    (record,) = handler.records
    assert (record.name, record.levelname, record.getMessage()) == (
        "tests.logs",
        "INFO",
        "one of 3",
    )
    assert (record.worker, record.task) == (2, "_in_a_worker#17")
    assert record.process != os.getpid()
    assert record.filename == os.path.basename(__file__)


def test_what_is_below_the_level_stays(handler: Collecting) -> None:
    def work() -> None:
        ROOT.debug("too little")
        ROOT.info("enough")

    assert len(_in_a_worker(work)) == 1
    assert len(_in_a_worker(work, logging.DEBUG)) == 2
    assert len(_in_a_worker(work, logging.WARNING)) == 0


def test_an_exception_is_printed_by_the_parent(handler: Collecting) -> None:
    def work() -> None:
        try:
            raise LookupError(threading.Lock())
        except LookupError:
            ROOT.exception("it failed", stack_info=True)

    for payload in _in_a_worker(work):
        handle_record(payload)
    (line,) = handler.lines
    assert line.startswith("it failed\nTraceback (most recent call last):\n")
    assert "LookupError: <unlocked" in line
    assert "Stack (most recent call last)" in line
    assert line.count("Traceback") == 1


def test_arguments_and_attributes_of_any_kind(handler: Collecting) -> None:
    def work() -> None:
        extra = {"lock": threading.Lock(), "user": "me"}
        ROOT.warning("%r", threading.Lock(), extra=extra)

    for payload in _in_a_worker(work):
        handle_record(payload)
    (record,) = handler.records
    assert record.getMessage().startswith("<unlocked _thread.lock")
    assert record.lock.startswith("<unlocked _thread.lock")
    assert record.user == "me"


def _warn(*loggers: logging.Logger) -> None:
    for logger in loggers:
        logger.warning("x")


def test_copied_handlers_do_not_print_a_second_time(capfd: pytest.CaptureFixture[str]) -> None:
    root, named, apart = (logging.getLogger(name) for name in (None, "tests.a", "tests.b"))
    handlers = [logging.StreamHandler(sys.stderr) for _ in range(3)]
    for logger, handler in zip((root, named, apart), handlers, strict=True):
        logger.addHandler(handler)
    apart.propagate = False
    try:
        sent = _in_a_worker(lambda: _warn(root, named, apart))
        assert len(sent) == 3
        assert capfd.readouterr().err == ""
        for payload in sent:
            handle_record(payload)
        assert capfd.readouterr().err == "x\n" * 4  # that of `named` goes on to the root's
    finally:
        for logger, handler in zip((root, named, apart), handlers, strict=True):
            logger.removeHandler(handler)
        apart.propagate = True


def test_a_bad_format_is_reported_where_it_is(capfd: pytest.CaptureFixture[str]) -> None:
    assert _in_a_worker(lambda: ROOT.warning("%d", "no number")) == []
    assert "--- Logging error ---" in capfd.readouterr().err


def test_a_child_of_the_worker_prints_for_itself(capfd: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        here.leave()
        ROOT.warning("on my own")

    assert _in_a_worker(work) == []
    assert "on my own" in capfd.readouterr().err


def test_an_error_of_a_filter_ends_nothing(
    handler: Collecting, capsys: pytest.CaptureFixture[str]
) -> None:
    def bad(record: logging.LogRecord) -> bool:
        raise ValueError("a bad filter")

    payload = encode_record(logging.LogRecord("x", logging.INFO, "f", 1, "text", (), None))
    handler.addFilter(bad)
    handle_record(payload)
    assert "ValueError: a bad filter" in capsys.readouterr().err
    handler.removeFilter(bad)
    handle_record(payload)
    assert handler.lines == ["text"]


def test_a_record_without_memory_here_is_said_to_be_lost(
    capsys: pytest.CaptureFixture[str],
) -> None:
    handle_record(MemoryError("no room"))
    said = capsys.readouterr().err
    assert "A worker's log record was lost" in said
    assert "MemoryError: no room" in said
