"""The journal's file: of one process at a time, and never mistaken for something else."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

import procession
from procession._journal.file import APPLICATION, Journal, Row
from procession._journal.forms import PICKLE
from procession._journal.identity import Identity
from procession.pool import Pool
from tests.journal.counted import square
from tests.journal.runs import Runs, recorded
from tests.plugins.scripts import script_environment

CALL = Identity("m:f", "code", b"")


def test_it_can_be_read_with_sqlite(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    with closing(Journal(path)) as journal:
        log = journal.call(CALL, PICKLE)
        log.record([Row(0, b"k", b"v"), Row(1, b"k", b"w")])
        assert log.find(0, b"k") is not None
        assert log.find(0, b"x") is None
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("PRAGMA application_id").fetchone() == (APPLICATION,)
        rows = "SELECT function, position, value FROM items JOIN calls ON call = calls.id"
        assert database.execute(rows).fetchall() == [("m:f", 0, b"v"), ("m:f", 1, b"w")]
    assert os.listdir(tmp_path) == ["run.sqlite"]


def test_a_lookup_that_fails_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("not now")

    with closing(Journal(tmp_path / "run.sqlite")) as journal:
        log = journal.call(CALL, PICKLE)
        log.record([Row(at, b"k", b"v") for at in range(3)])
        with monkeypatch.context() as patch:
            patch.setattr(journal, "find", fail)
            with pytest.raises(OSError, match="not now"):
                log.find(0, b"k")
        assert log.find(0, b"k") is not None


def test_a_commit_is_synced(tmp_path: Path) -> None:
    """With these settings SQLite promises that a commit outlives a power failure."""
    with closing(Journal(tmp_path / "run.sqlite")) as journal:
        settings = {
            name: journal._database.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "locking_mode")
        }
    assert settings == {"journal_mode": "wal", "synchronous": 2, "locking_mode": "exclusive"}


HOLD = """
import sys
from procession._journal.file import Journal
journal = Journal(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_process_is_told_and_the_lock_dies_with_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        env=script_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(procession.JournalError, match=f"in use by process {holder.pid}: let"):
            Journal(path)
        holder.kill()
        holder.wait()
        Journal(path).close()


def test_the_workers_do_not_hold_the_lock(tmp_path: Path) -> None:
    """Forked while it was open, and alive when it is opened anew."""
    path = tmp_path / "run.sqlite"
    journal = Journal(path)
    with Pool(1, context=procession.get_context("fork")) as pool:
        assert pool.apply(abs, (-1,)) == 1
        journal.close()
        program = "import sys; from procession._journal.file import Journal; Journal(sys.argv[1])"
        command = [sys.executable, "-c", program, str(path)]
        subprocess.run(command, env=script_environment(), check=True)
    pool.join()


def test_a_second_call_of_the_same_process_is_told(pool: Pool, runs: Runs, tmp_path: Path) -> None:
    view = pool.options(journal=tmp_path / "run.sqlite")
    results = view.imap(square, range(3))
    with pytest.raises(procession.JournalError, match="in use by another call of this process"):
        view.map(square, [1])
    assert list(results) == [0, 1, 4]
    assert view.map(square, range(3)) == [0, 1, 4]
    results = view.imap(square, range(3))
    assert next(results) == 0
    del results
    assert view.map(square, range(3)) == [0, 1, 4]
    assert runs.items() == [0, 1, 2]


def _text(path: Path) -> None:
    path.write_text("a text, and quite a long one at that\n" * 5)


def _short(path: Path) -> None:
    path.write_bytes(b"SQLite")


def _foreign_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE people (name TEXT)")


def _later_format(path: Path) -> None:
    Journal(path).close()
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 7")


def _half_a_journal(path: Path) -> None:
    with closing(Journal(path)) as journal:
        log = journal.call(CALL, PICKLE)
        log.record([Row(at, b"k", b"v" * 1000) for at in range(100)])
    path.write_bytes(path.read_bytes()[:8192])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_text, "is no journal of procession's; it was left alone"),
        (_short, "is no journal of procession's; it was left alone"),
        (_foreign_database, "is no journal of procession's; it was left alone"),
        (_later_format, "it has format 7, and this release of procession knows 1 only"),
        (_half_a_journal, "the file is damaged .* nothing was overwritten: move it away"),
    ],
)
def test_another_file_is_left_alone(
    pool: Pool, tmp_path: Path, make: Callable[[Path], None], said: str
) -> None:
    path = tmp_path / "run.sqlite"
    make(path)
    before = path.read_bytes()
    with pytest.raises(procession.JournalError, match=said):
        pool.options(journal=path).map(square, range(10))
    assert path.read_bytes() == before


def test_a_record_that_was_changed_is_found(pool: Pool, runs: Runs, tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    view = pool.options(journal=path)
    view.map(square, range(3))
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE items SET value = x'80054b2a2e' WHERE position = 1")
    with pytest.raises(procession.JournalError, match="a record is not what was written"):
        view.map(square, range(3))


def test_an_empty_file_becomes_a_journal(pool: Pool, runs: Runs, tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    path.touch()
    assert pool.options(journal=path).map(square, [2]) == [4]
    assert recorded(path) == {0}


def test_a_place_that_can_not_be(pool: Pool, tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing" / "run.sqlite"):
        with pytest.raises(procession.JournalError, match=r"it can not be (read|used): "):
            pool.options(journal=path).map(square, [2])


def test_what_was_committed_is_there_after_a_kill(tmp_path: Path) -> None:
    """Of the log that was not merged into the file yet, each whole transaction counts."""
    path = tmp_path / "run.sqlite"
    with closing(Journal(path)) as journal:
        log = journal.call(CALL, PICKLE)
        for at in range(3):
            log.record([Row(at, b"k", b"v")])
        whole = tmp_path / "whole"
        shutil.copy(path, whole)
        shutil.copy(f"{path}-wal", f"{whole}-wal")
    size = os.path.getsize(f"{whole}-wal")
    found = []
    for cut in (size, size - 1, size - 4200, 0):
        shutil.copy(whole, path)
        shutil.copy(f"{whole}-wal", f"{path}-wal")
        os.truncate(f"{path}-wal", cut)
        found.append(recorded(path))
        if cut:
            with closing(Journal(path)) as journal:
                log = journal.call(CALL, PICKLE)
                assert {at for at in range(3) if log.find(at, b"k")} == found[-1]
    assert found[0] == {0, 1, 2}
    assert found[1] == {0, 1}
    assert found[1] >= found[2]
    assert found[3] == set()
