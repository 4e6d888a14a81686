"""The journal: an SQLite database of one process at a time.

A commit is on the disk when it returns, a power failure included: with ``synchronous=FULL`` each
transaction is synced to the write-ahead log, and a log that was cut is read back as far as its
checksums agree: each transaction is there as a whole, or not at all.

The lock is SQLite's own on the file (``locking_mode=EXCLUSIVE``): the kernel gives it up with its
process, and no forked child inherits it.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import struct
import threading
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from procession._journal.forms import Form
from procession._journal.identity import Identity, digest
from procession.errors.journal import JournalError

APPLICATION = 0x50434E4A  # "PCNJ"
VERSION = 1

_SCHEMA = (
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {VERSION}",
    """CREATE TABLE calls (
        id INTEGER PRIMARY KEY, function TEXT NOT NULL, code TEXT NOT NULL, form TEXT NOT NULL,
        UNIQUE (function, form, code))""",
    """CREATE TABLE items (
        id INTEGER PRIMARY KEY, call INTEGER NOT NULL REFERENCES calls,
        position INTEGER NOT NULL, digest BLOB NOT NULL, value BLOB NOT NULL,
        checksum INTEGER NOT NULL, UNIQUE (call, position, digest))""",
)

_SQLITE = b"SQLite format 3\0"
_HEADER = struct.Struct(">16s44xI4xI")  # the first bytes: user_version, application_id
_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Row(NamedTuple):
    """A finished item, to be recorded."""

    position: int
    digest: bytes
    content: bytes


Inode = tuple[int, int]

_kept: dict[Inode, sqlite3.Connection] = {}
"""Those that are open. A forked child must not close its copies, not even by forgetting them. And
while one is open, the process must not open the same file otherwise: closing that, it would lose
its lock."""


AT_ONCE = 512
"""Records that are looked up at once."""


class Journal:
    """An open journal; for any number of threads.

    Args:
        path: the file; it is made where there is none.

    Raises:
        JournalError: it is in use, damaged or something else, or can not be opened. Nothing was
            changed.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fsdecode(path)
        self.lock = threading.RLock()
        self._inode: Inode | None = None
        if _inode_of(self.path) in _kept:
            raise JournalError(self.path, _IN_USE.format(_OURSELVES))
        _check_header(self.path)
        with self._errors():
            # The file's absolute name: the program may go elsewhere meanwhile.
            self._database = sqlite3.connect(
                os.path.abspath(self.path),
                timeout=0,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=16,
            )
        try:
            with self._errors():
                self._open()
            self._inode = _inode_of(self.path)
            if self._inode is not None:
                _kept[self._inode] = self._database
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        run = self._database.execute
        run("PRAGMA locking_mode = EXCLUSIVE")
        run("PRAGMA synchronous = EXTRA")
        run("BEGIN EXCLUSIVE")  # in use by nobody else, or an error
        application = run("PRAGMA application_id").fetchone()[0]
        if application != APPLICATION:
            if application or run("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise JournalError(self.path, _FOREIGN)
            for statement in _SCHEMA:
                run(statement)
        run("COMMIT")
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = FULL")
        _sync_folder(self.path)

    def call(self, identity: Identity, form: Form, changed: str = "error") -> CallLog:
        """What is recorded of the calls of a function.

        Args:
            changed: if the function's code is not what it was: "error"; "keep" what is recorded,
                and go on; or run it "again".

        Raises:
            JournalError: its code is another one.
        """
        with self._errors(), self.lock:
            run = self._database.execute
            known = run(
                "SELECT id, code FROM calls WHERE function = ? AND form = ? ORDER BY id",
                (identity.name, form.name),
            ).fetchall()
            same = [number for number, code in known if code == identity.code]
            if not same and known and changed == "error":
                raise JournalError(self.path, _CHANGED.format(name=identity.name))
            if not same and known and changed == "keep":
                run("UPDATE calls SET code = ? WHERE id = ?", (identity.code, known[-1][0]))
                same = [known[-1][0]]
            if not same:
                row = (identity.name, identity.code, form.name)
                insert = "INSERT INTO calls (function, code, form) VALUES (?, ?, ?)"
                same = [run(insert, row).lastrowid or 0]
        return CallLog(self, same[0], form, identity.captured)

    def find(self, call: int, positions: range) -> dict[tuple[int, bytes], int]:
        """The numbers of the records there, by their positions and digests."""
        with self._errors(), self.lock:
            rows = self._database.execute(
                "SELECT position, digest, id FROM items "
                "WHERE call = ? AND position >= ? AND position < ?",
                (call, positions.start, positions.stop),
            ).fetchall()
        return {(position, digest): number for position, digest, number in rows}

    def load(self, number: int) -> bytes:
        """What was recorded of an item."""
        with self._errors(), self.lock:
            row = self._database.execute(
                "SELECT value, checksum FROM items WHERE id = ?", (number,)
            ).fetchone()
        if row is None or zlib.crc32(row[0]) != row[1]:
            raise JournalError(self.path, _DAMAGED.format("a record is not what was written"))
        content: bytes = row[0]
        return content

    def record(self, call: int, rows: Sequence[Row]) -> None:
        """Record finished items, all or none; they are on the disk when this returns."""
        with self._errors(), self.lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                self._database.executemany(
                    "INSERT OR IGNORE INTO items (call, position, digest, value, checksum) "
                    "VALUES (?, ?, ?, ?, ?)",
                    [(call, *row, zlib.crc32(row.content)) for row in rows],
                )
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Give it up for others; a second time does nothing."""
        with self.lock:
            self._database.close()
            if self._inode is not None:
                _kept.pop(self._inode, None)
                self._inode = None

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """SQLite's errors in our words."""
        try:
            yield
        except sqlite3.Error as error:
            raise JournalError(self.path, _explain(self.path, error)) from error


class CallLog:
    """What is recorded of one function's calls."""

    def __init__(self, journal: Journal, number: int, form: Form, captured: bytes) -> None:
        self.journal = journal
        self.form = form
        self._number = number
        self._captured = captured
        self._positions = range(0)  # those of which is known what is recorded
        self._found: dict[tuple[int, bytes], int] = {}

    def key(self, item: bytes) -> bytes:
        """What an item is known by beside its position; `item`: a digest of it."""
        return digest(self._captured + item)

    def find(self, position: int, key: bytes) -> int | None:
        """The number of the record that an item had when the call came near to it, if any.

        By one thread at a time, and forwards: many are looked up at once.
        """
        if position not in self._positions:
            positions = range(position, position + AT_ONCE)
            found = self.journal.find(self._number, positions)  # which may raise
            self._positions, self._found = positions, found
        return self._found.get((position, key))

    def load(self, number: int) -> Any:
        """The value of a recorded item. Runs code of the user's."""
        return self.form.decode(self.journal.load(number))

    def record(self, rows: Sequence[Row]) -> None:
        """Record finished items; they are on the disk when this returns."""
        self.journal.record(self._number, rows)


def _inode_of(path: str) -> Inode | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _check_header(path: str) -> None:
    """Raise JournalError for what is no journal; it is not touched."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode) and not os.path.isdir(path):
            raise JournalError(path, "it is no regular file")
        with open(path, "rb") as file:
            start = file.read(_HEADER.size)
    except FileNotFoundError:
        return
    except OSError as error:
        raise JournalError(path, f"it can not be read: {error.strerror}") from error
    if not start or Path(f"{path}-journal").exists():  # else it was interrupted when it began
        return
    if len(start) < _HEADER.size or not start.startswith(_SQLITE):
        raise JournalError(path, _FOREIGN)
    _, version, application = _HEADER.unpack(start)
    if application != APPLICATION:
        raise JournalError(path, _FOREIGN)
    if version != VERSION:
        raise JournalError(
            path, f"it has format {version}, and this release of procession knows {VERSION} only"
        )


def _sync_folder(path: str) -> None:
    """Have the file's name on the disk as well."""
    folder = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _explain(path: str, error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return _IN_USE.format(_owner(path))
    if code in _CORRUPT:
        return _DAMAGED.format(error)
    if isinstance(error, sqlite3.ProgrammingError):
        return f"it was closed ({error})"
    return f"it can not be used: {error}; the disk may be full, or the file not writable"


def _owner(path: str) -> str:
    """Who has it locked, as the kernel says."""
    with contextlib.suppress(OSError):
        inode = os.stat(path).st_ino
        for line in Path("/proc/locks").read_text().splitlines():
            words = line.split()
            if words[1] == "POSIX" and words[5].rpartition(":")[2] == str(inode):
                return f"process {words[4]}"
    return "another process"


_IN_USE = "it is in use by {}: let that end first, or use another file"
_OURSELVES = "another call of this process, or of the one that it was forked from"
_FOREIGN = "the file is there, and is no journal of procession's; it was left alone: name another"
_DAMAGED = "the file is damaged ({}); nothing was overwritten: move it away, and begin a new one"
_CHANGED = (
    "the code of {name} is not what it was when items were recorded (or it is another function of "
    'that name: give it one of its own, name="...", or another journal). Say what is to be done: '
    'changed="keep" (--changed keep) keeps the recorded results and goes on with the new code; '
    'changed="again" (--changed again) runs all items again'
)
