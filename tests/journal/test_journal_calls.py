"""Calls with a journal: what is recorded is not run again, whichever way the call is made."""

from __future__ import annotations

import itertools
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import procession
from procession.futures import Executor
from procession.pool import Pool
from tests.journal.counted import add, echo, odd_only, square
from tests.journal.runs import Runs, recorded

SQUARES = [number * number for number in range(50)]

DOORS: dict[str, Callable[[Pool, Any], Any]] = {
    "map": lambda pool, items: pool.map(square, items),
    "imap": lambda pool, items: list(pool.imap(square, items)),
    "imap of chunks": lambda pool, items: list(pool.imap(square, items, 7)),
    "imap_unordered": lambda pool, items: sorted(pool.imap_unordered(square, items)),
}


@pytest.mark.parametrize("door", DOORS)
def test_a_call_runs_only_what_is_not_recorded(
    pool: Pool, runs: Runs, tmp_path: Path, door: str
) -> None:
    view = pool.options(journal=tmp_path / "run.sqlite")
    assert DOORS[door](view, range(30)) == SQUARES[:30]
    assert recorded(tmp_path / "run.sqlite") == set(range(30))
    assert DOORS[door](view, range(50)) == SQUARES
    assert DOORS[door](view, iter(range(50))) == SQUARES
    assert runs.items() == list(range(50))


def test_starmap_and_its_kin(pool: Pool, runs: Runs, tmp_path: Path) -> None:
    view = pool.options(journal=str(tmp_path / "run.sqlite"))
    pairs = [(1, 2), (3, 4), (5, 6)]
    assert view.starmap(add, pairs[:1]) == [3]
    assert list(view.istarmap(add, pairs[:2])) == [3, 7]
    assert sorted(view.istarmap_unordered(add, pairs)) == [3, 7, 11]
    assert runs.items() == pairs


def test_an_executors_map(runs: Runs, tmp_path: Path) -> None:
    with Executor(2, journal=tmp_path / "run.sqlite") as executor:
        assert list(executor.map(square, range(20))) == SQUARES[:20]
        assert list(executor.map(square, range(30), chunksize=4)) == SQUARES[:30]
        assert list(executor.map(add, [1, 2], [3, 4])) == [4, 6]
        executor.map(square, range(40))  # dropped: closes its journal
        assert list(executor.map(square, range(50), buffersize=3)) == SQUARES
    assert set(runs.count()) == {*range(50), (1, 3), (2, 4)}


def test_single_tasks_have_no_journal(pool: Pool, tmp_path: Path) -> None:
    view = pool.options(journal=tmp_path / "run.sqlite")
    for call in (view.apply, view.apply_async):
        with pytest.raises(ValueError, match="a journal is for calls over many items"):
            call(square, (1,))
    with pytest.raises(ValueError, match="map_async has no journal"):
        view.map_async(square, [1])
    with (
        Executor(1, journal=tmp_path / "run.sqlite") as executor,
        pytest.raises(ValueError, match="a journal is for calls over many items"),
    ):
        executor.submit(square, 1)
    assert not (tmp_path / "run.sqlite").exists()


@pytest.mark.parametrize(
    "given", [3, b"x", {}, {"path": "x", "how": 1}, {"path": "x", "changed": 1}]
)
def test_what_is_no_journal_is_told_at_once(given: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"journal|changed"):
        procession.Pool(1, journal=given)


def test_failed_items_run_again(pool: Pool, runs: Runs, tmp_path: Path) -> None:
    journal = tmp_path / "run.sqlite"
    view = pool.options(journal=journal)
    with pytest.raises(ValueError, match="0 is even"):
        view.map(odd_only, range(6))
    assert runs.items() == [*range(6)]  # all were run, as without a journal
    assert recorded(journal) == {1, 3, 5}
    assert view.options(errors="skip").map(odd_only, range(6)) == [1, 3, 5]
    found = list(view.options(errors="return").imap(odd_only, range(6)))
    assert [str(each) for each in found] == ["0 is even", "1", "2 is even", "3", "4 is even", "5"]
    with pytest.raises(ExceptionGroup, match="3 of 6 items failed") as group:
        view.options(errors="group").map(odd_only, range(6))
    assert len(group.value.exceptions) == 3
    assert runs.count() == {0: 4, 1: 1, 2: 4, 3: 1, 4: 4, 5: 1}


def test_an_iteration_goes_on_behind_an_error(pool: Pool, runs: Runs, tmp_path: Path) -> None:
    found: list[Any] = []
    results = pool.options(journal=tmp_path / "run.sqlite").imap(odd_only, range(4))
    for _ in range(4):
        try:
            found.append(next(results))
        except ValueError as error:
            found.append(str(error))
    assert found == ["0 is even", 1, "2 is even", 3]
    with pytest.raises(StopIteration):
        next(results)


def test_a_death_and_retries(pool: Pool, runs: Runs, tmp_path: Path) -> None:
    flag = tmp_path / "died"
    view = pool.options(journal=tmp_path / "run.sqlite", retries=1)
    assert view.map(partial(die_once, str(flag)), range(8)) == [*range(8)]
    assert recorded(tmp_path / "run.sqlite") == set(range(8))


def die_once(flag: str, item: int) -> int:
    if item == 5 and not os.path.exists(flag):
        open(flag, "x").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def test_an_item_that_is_late_is_not_recorded(pool: Pool, tmp_path: Path) -> None:
    view = pool.options(journal=tmp_path / "run.sqlite", timeout=0.2, errors="return")
    values = view.map(sleep_long, [0, 1, 0])
    assert isinstance(values[1], procession.TaskTimeout)
    assert recorded(tmp_path / "run.sqlite") == {0, 2}


def sleep_long(item: int) -> int:
    time.sleep(600 * item)
    return item


def test_what_waits_for_its_turn_is_recorded(pool: Pool, runs: Runs, tmp_path: Path) -> None:
    """The first item is not over before the others are recorded: it waits for that."""
    journal = tmp_path / "run.sqlite"
    results = pool.options(journal=journal).imap(partial(wait_for, str(journal), 9), range(10))
    assert next(results) == 0
    assert list(results) == [*range(1, 10)]


def wait_for(journal: str, count: int, item: int) -> int:
    while item == 0 and len(recorded(Path(journal))) < count:
        time.sleep(0.01)
    return item


def test_results_are_recorded_while_nobody_asks(pool: Pool, runs: Runs, tmp_path: Path) -> None:
    journal = tmp_path / "run.sqlite"
    results = pool.options(journal=journal).imap(echo, range(5))
    while recorded(journal) != set(range(5)):
        time.sleep(0.01)
    results.close()
    assert pool.options(journal=journal).map(echo, range(5)) == [*range(5)]
    assert runs.items() == [*range(5)]


def test_an_endless_input_with_few_in_flight(pool: Pool, runs: Runs, tmp_path: Path) -> None:
    view = pool.options(journal=tmp_path / "run.sqlite", max_in_flight=4)
    pulled: list[int] = []

    def endless() -> Iterator[int]:
        for number in itertools.count():
            pulled.append(number)
            yield number

    for _ in range(2):
        pulled.clear()
        results = view.imap(square, endless())
        for consumed, value in enumerate(itertools.islice(results, 40), 1):
            assert value == (consumed - 1) ** 2
            assert len(pulled) <= consumed + 4
        results.close()
    counted = runs.count()
    assert {counted.pop(number) for number in range(40)} == {1}
    assert max(counted.values(), default=0) <= 2  # they ran when it was closed, perhaps


def test_recorded_items_are_not_all_looked_up_at_once(
    pool: Pool, runs: Runs, tmp_path: Path
) -> None:
    view = pool.options(journal=tmp_path / "run.sqlite")
    count = 3000
    view.map(echo, range(count))
    pulled: list[int] = []

    def noted() -> Iterator[int]:
        for number in range(count):
            pulled.append(number)
            yield number

    results = view.imap(echo, noted())
    assert next(results) == 0
    assert len(pulled) < 1200
    assert list(results) == [*range(1, count)]
    assert len(runs.all()) == count


def test_recorded_items_count_as_done(pool: Pool, runs: Runs, tmp_path: Path) -> None:
    view = pool.options(journal=tmp_path / "run.sqlite")
    view.map(square, range(20))
    seen: list[Any] = []
    view.options(progress=seen.append).map(square, range(30))
    assert (seen[-1].done, seen[-1].total) == (30, 30)
    assert len(runs.all()) == 30


def test_an_input_that_fails_ends_the_call(pool: Pool, runs: Runs, tmp_path: Path) -> None:
    def failing() -> Iterator[int]:
        yield from range(5)
        raise OSError("no more")

    view = pool.options(journal=tmp_path / "run.sqlite")
    results = view.imap(square, failing())
    assert [next(results) for _ in range(5)] == SQUARES[:5]
    with pytest.raises(OSError, match="no more"):
        next(results)
    assert view.map(square, range(6)) == SQUARES[:6]
    assert runs.items() == [*range(6)]


def test_a_pool_that_ends_lets_go_of_the_journal(runs: Runs, tmp_path: Path) -> None:
    journal = tmp_path / "run.sqlite"
    with Pool(2) as pool:
        results = pool.options(journal=journal).imap(square, range(20))
        assert next(results) == 0
        pool.close()
        pool.join()
        assert list(results) == SQUARES[1:20]
    with Pool(2) as pool:
        left = pool.options(journal=journal).imap(sleep_long, [1, 1])
    pool.join()
    with pytest.raises(procession.PoolTerminated):
        next(left)
    left.close()
    with Pool(2) as pool:
        assert pool.options(journal=journal).map(square, range(20)) == SQUARES[:20]
    pool.join()
    assert runs.items() == [*range(20)]


def test_a_result_that_can_not_be_recorded_fails(pool: Pool, tmp_path: Path) -> None:
    view = pool.options(journal=tmp_path / "run.sqlite")
    with pytest.raises(TypeError, match="can not be recorded in a journal: it holds"):
        view.map(make_lock, [1])
    with pytest.raises(Exception, match="pickle"):
        view.map(square, [(number for number in SQUARES)])


def make_lock(item: int) -> Any:
    return procession.Lock()


def test_a_journal_that_can_not_be_written_ends_the_call(
    pool: Pool, runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Any, call: int, rows: Any) -> None:
        with self._errors():
            raise sqlite3.OperationalError("database or disk is full")

    view = pool.options(journal=tmp_path / "run.sqlite")
    with monkeypatch.context() as patch:
        patch.setattr("procession._journal.file.Journal.record", full)
        with pytest.raises(procession.JournalError, match="disk is full"):
            view.map(square, range(3))
        results = view.imap(square, range(3))
        with pytest.raises(procession.JournalError, match="disk is full"):
            next(results)
    assert view.map(square, range(3)) == [0, 1, 4]


ITEMS = st.one_of(
    st.integers(),
    st.text(),
    st.tuples(st.integers(), st.text()),
    st.dictionaries(st.text(), st.integers(), max_size=3),
    st.floats(allow_nan=False),
    st.sets(st.text(), max_size=3),
)


def test_any_recorded_part_and_a_restart_are_the_whole(
    pool: Pool, runs: Runs, tmp_path: Path
) -> None:
    examples = itertools.count()

    @settings(max_examples=30)
    @given(st.lists(ITEMS, max_size=12), st.data())
    def check(items: list[Any], data: st.DataObject) -> None:
        begun = len(runs)
        view = pool.options(journal=tmp_path / f"{next(examples)}.sqlite")
        parts = sorted(data.draw(st.lists(st.integers(0, len(items)), max_size=2)))
        for part in parts:
            assert view.map(echo, items[:part]) == items[:part]
        ordered = data.draw(st.booleans())
        if ordered:
            assert list(view.imap(echo, items)) == items
        else:
            found = list(view.imap_unordered(echo, items))
            for item in items:
                found.remove(item)
            assert found == []
        assert len(runs) - begun == len(items)

    check()


@pytest.mark.parametrize("backend", ["threads", "executor"])
def test_a_journal_on_other_engines(runs: Runs, tmp_path: Path, backend: str) -> None:
    with ThreadPoolExecutor(2) as executor:
        with Pool(2, backend="threads" if backend == "threads" else executor) as pool:
            view = pool.options(journal=tmp_path / "run.sqlite")
            assert view.map(square, range(20)) == SQUARES[:20]
            assert list(view.imap(square, range(40))) == SQUARES[:40]
            assert sorted(view.imap_unordered(square, range(50), 4)) == SQUARES
            found = view.options(errors="skip").map(odd_only, range(6))
            assert found == [1, 3, 5]
        pool.join()
    with Pool(2) as pool:  # what was recorded on one is known on all
        assert pool.options(journal=tmp_path / "run.sqlite").map(square, range(50)) == SQUARES
    pool.join()
    assert set(runs.count().values()) == {1, 2}
    assert len(runs.all()) == 56
