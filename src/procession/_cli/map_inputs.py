"""The inputs of ``procession map``: where items come from, and how they are known.

A slow input (a pipe that somebody types into) must not hold back results. So what is read is pulled
by a thread of its own, like the input of any imap; and it can be stopped while it waits.
"""

from __future__ import annotations

import csv
import glob
import json
import os
import select
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from procession._engine.sources import Fetched, Input, Pulled
from procession._journal.forms import json_text
from procession._journal.identity import digest
from procession._journal.sieve import Entered

MOST_IN_A_FIELD = (1 << 31) - 1
"""Characters of a field of CSV."""

BLOCK = 1 << 16


class BadInput(Exception):
    """An input that can not be: says where, and what is wrong."""


class Item(NamedTuple):
    """One item.

    Attributes:
        argument: what the function gets.
        text: the item as JSON.
    """

    argument: Any
    text: str


def enter(item: Item) -> Entered:
    """An item for a journal: it is known by its text."""
    return Entered(item.argument, digest(item.text.encode()), item.text)


def given(texts: Iterable[str]) -> Input:
    """Items that stand on the command line."""
    return Pulled([Item(text, json_text(text)) for text in texts])


def files(patterns: Sequence[str]) -> Input:
    """The files that match the patterns, as paths; each once, sorted for each pattern.

    Raises:
        BadInput: a pattern matches none.
    """
    found: dict[str, None] = {}
    for pattern in patterns:
        matching = [pattern] if os.path.isfile(pattern) else sorted(_matching(pattern))
        if not matching:
            raise BadInput(f"no file matches {pattern!r}")
        found.update(dict.fromkeys(matching))
    return given(found)


def _matching(pattern: str) -> Iterator[str]:
    return filter(os.path.isfile, glob.iglob(pattern, recursive=True))


def lines(reader: Reader) -> Iterator[Item]:
    """Each line, without its end."""
    for line in reader:
        text = line.rstrip("\n").removesuffix("\r")
        yield Item(text, json_text(text))


def json_lines(reader: Reader, star: bool) -> Iterator[Item]:
    """What each line of JSON says; empty ones are passed over. ``star``: arrays of arguments."""
    for line in reader:
        if not line.strip():
            continue
        try:
            value = json.loads(line)
            text = json_text(value)  # which knows no NaN and no Infinity, as JSON does not
        except (ValueError, RecursionError) as error:
            raise BadInput(f"line {reader.count} of {reader.name} is no JSON: {error}") from None
        if star and not isinstance(value, list):
            raise BadInput(
                f"line {reader.count} of {reader.name} is no array: --star takes the arguments of "
                "a call from each"
            )
        yield Item(tuple(value) if star else value, text)


def csv_rows(reader: Reader, star: bool) -> Iterator[Item]:
    """Each row as a dict, by the names in the first; ``star``: its values as arguments."""
    csv.field_size_limit(MOST_IN_A_FIELD)
    rows = csv.DictReader(reader)
    try:
        names = rows.fieldnames or ()
        if twice := [name for at, name in enumerate(names) if name in names[:at]]:
            raise BadInput(f"the first line of {reader.name} has the name {twice[0]!r} twice")
        for row in rows:
            if None in row:
                raise BadInput(
                    f"line {reader.count} of {reader.name} has more fields than the first line has "
                    "names"
                )
            yield Item(tuple(row.values()) if star else row, json_text(row))
    except csv.Error as error:
        raise BadInput(f"line {reader.count} of {reader.name} is no CSV: {error}") from None


class Reader(Iterator[str]):
    """The lines of a file or of standard input, with their ends; it can be stopped.

    Attributes:
        name: for people.
        count: lines so far.
    """

    def __init__(self, path: str) -> None:
        self.count = 0
        self.name = "standard input" if path == "-" else path
        try:
            self._file = os.dup(0) if path == "-" else os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise BadInput(f"{self.name} can not be read: {error.strerror}") from None
        self._bell = os.eventfd(0, os.EFD_CLOEXEC)
        self._lines = self._read_lines()
        self._reading = threading.Lock()
        self._closing = threading.Lock()
        self._is_closed = False

    def __next__(self) -> str:
        with self._reading:
            if self._is_closed:
                raise StopIteration
            line = next(self._lines)
        self.count += 1
        try:
            # The first may begin with a mark of its encoding, as spreadsheets write it.
            return line.decode("utf-8-sig" if self.count == 1 else "utf-8")
        except UnicodeDecodeError:
            raise BadInput(f"line {self.count} of {self.name} is not UTF-8") from None

    def _read_lines(self) -> Iterator[bytes]:
        rest: list[bytes] = []
        while block := self._read():
            first, *more = block.split(b"\n")
            rest.append(first)
            for each in more:
                yield b"".join(rest) + b"\n"
                rest = [each]
        if last := b"".join(rest):
            yield last

    def _read(self) -> bytes:
        waiting = select.poll()
        waiting.register(self._file, select.POLLIN)
        waiting.register(self._bell, select.POLLIN)
        if any(file == self._bell for file, _ in waiting.poll()):
            return b""
        try:
            return os.read(self._file, BLOCK)
        except OSError as error:
            raise BadInput(f"{self.name} can not be read: {error.strerror}") from None

    def close(self) -> None:
        """Have it end now, and close the files; by any thread, again if need be."""
        with self._closing:
            if self._is_closed:
                return
            os.eventfd_write(self._bell, 1)  # for a thread that waits in it
            with self._reading:
                self._is_closed = True
                os.close(self._file)
                os.close(self._bell)


class Read(Fetched):
    """An input that is read by a thread of its own.

    Args:
        reader: where from.
        items: what is made of its lines, each a new object.
    """

    def __init__(self, reader: Reader, items: Iterator[Item]) -> None:
        super().__init__(items, None)
        self.runs_code = False
        self._reader = reader

    def close(self) -> None:
        """Close the files, wherever it is."""
        self._reader.close()
