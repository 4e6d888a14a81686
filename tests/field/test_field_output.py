"""What workers print and log arrives, whole and once, and says who it is from."""

from __future__ import annotations

import collections
import logging
import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.field.doors import PROGRAM_HEAD, Door, mp
from tests.plugins.scripts import RunScript

_PRINTER = """
import logging
def speak(number):
    for line in range(20):
        print("task", number, "line", line, "x" * (number % 50))
    print("error of", number, file=sys.stderr)
if __name__ == "__main__":
    with door(4) as made:
        list(made.map(speak, range(50)))
        made.close() if KIND == "Pool" else made.shutdown()
        if KIND == "Pool":
            made.join()
"""


def test_lines_are_neither_torn_nor_lost(run_script: RunScript, door: type[Door]) -> None:
    done = run_script(PROGRAM_HEAD + _PRINTER, door.name, "fork")
    lines = [f"task {n} line {line} {'x' * (n % 50)}" for n in range(50) for line in range(20)]
    assert collections.Counter(done.stdout.splitlines()) == collections.Counter(lines)
    errors = collections.Counter(f"error of {n}" for n in range(50))
    assert collections.Counter(done.stderr.splitlines()) == errors


_TAGGED = """
def speak(number):
    print("here", number)
if __name__ == "__main__":
    with door(2, output="tagged") as made:
        for number in range(4):
            call(made, speak, number)
"""


def test_lines_say_who_they_are_from(run_script: RunScript, door: type[Door]) -> None:
    done = run_script(PROGRAM_HEAD + _TAGGED, door.name, "fork")
    lines = sorted(done.stdout.splitlines(), key=lambda line: line[-1])
    assert [line.partition("] ")[2] for line in lines] == [f"here {n}" for n in range(4)]
    assert all(line.startswith("[worker ") and "task speak#" in line for line in lines)


class Kept(logging.Handler):
    """Keeps records."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def kept() -> Iterator[Kept]:
    """A handler at the logger "field"."""
    logger, handler = logging.getLogger("field"), Kept()
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(before)


def _log(number: int) -> int:
    logger = logging.getLogger("field")
    logger.debug("not this one %d", number)
    logger.info("number %d of %s", number, {"a": 1})
    try:
        raise LookupError("seen")
    except LookupError:
        logger.exception("and an error")
    return number


def test_records_arrive_at_the_parent_s_handlers(door: type[Door], kept: Kept) -> None:
    with door(2, logs=logging.INFO) as pool:
        assert pool.map(_log, range(20)) == [*range(20)]
        if door.name == "Pool":
            pool.made.close()
            pool.made.join()
        else:
            pool.made.shutdown()
    texts = collections.Counter(record.getMessage() for record in kept.records)
    expected = [f"number {n} of {{'a': 1}}" for n in range(20)] + ["and an error"] * 20
    assert texts == collections.Counter(expected)
    for record in kept.records:
        found: Any = record
        assert found.worker in (0, 1)
        assert "_log" in str(found.task)
    error = next(record for record in kept.records if record.levelno == logging.ERROR)
    assert "LookupError: seen" in logging.Formatter().format(error)


def test_without_being_asked_records_stay_in_the_worker(door: type[Door], kept: Kept) -> None:
    with door(1) as pool:
        logging.getLogger("field").removeHandler(kept)
        pool.call(_log, 1)
    assert kept.records == []


def _log_much(count: int) -> int:
    logger = logging.getLogger("field")
    for number in range(count):
        logger.info("number %d %s", number, "x" * 1000)
    return count


def test_more_records_than_there_is_room_for_hang_nobody(door: type[Door], kept: Kept) -> None:
    with door(2, logs=logging.INFO) as pool:
        assert pool.map(_log_much, [5000] * 4) == [5000] * 4
    assert len(kept.records) <= 20_000


def _say_and_die() -> None:
    print("the last thing", flush=True)
    os.abort()


def test_the_last_words_are_in_the_error(door: type[Door]) -> None:
    with door(1) as pool:
        with pytest.raises(mp.WorkerDied) as caught:
            pool.call(_say_and_die)
        assert "the last thing" in caught.value.output
        assert str(caught.value).rstrip().endswith("the last thing")
