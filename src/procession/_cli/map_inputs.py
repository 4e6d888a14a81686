"""The inputs of ``procession map``: what is read by a thread of its own, and how items are known.

A slow input (a pipe that somebody types into) must not hold back results. So what is read comes
from a thread, which never reads far ahead of what is run.
"""

from __future__ import annotations

import csv
import glob
import json
import os
import select
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from procession._engine.sources import Input, Pulled
from procession._journal.forms import json_text
from procession._journal.identity import digest
from procession._journal.sieve import Entered

MOST_ITEMS = 512
MOST_CHARACTERS = 4 << 20
"""What was read and is not taken yet, at most."""

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

    def __next__(self) -> str:
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

    def stop(self) -> None:
        """Have it end now; by any thread."""
        os.eventfd_write(self._bell, 1)

    def close(self) -> None:
        """Close the files."""
        os.close(self._file)
        os.close(self._bell)


class Read:
    """An ``Input`` that a thread reads; ``ahead`` never waits for it.

    Args:
        reader: where from.
        items: what is made of its lines; pulled by the thread.

    Attributes:
        ring: called when there is more, or the end.
    """

    is_fixed = False

    def __init__(self, reader: Reader, items: Iterator[Item]) -> None:
        self.taken = 0
        self.total: int | None = None
        self.error: BaseException | None = None
        self.keep: Callable[[Any], Any] | None = None
        self.runs_code = False
        self.ring: Callable[[], object] = bool
        self._reader = reader
        self._items = items
        self._held: deque[Item] = deque()
        self._held_from = 0
        self._characters = 0
        self._is_over = False  # nothing more will be read
        self._is_ended = False  # and somebody has noticed
        self._room = threading.Condition()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="procession-input", daemon=True)
        self._thread.start()

    @property
    def has_news(self) -> bool:
        """Whether ``ahead`` would give something, or notice the end."""
        return self.taken < self._held_from + len(self._held) or self._is_over > self._is_ended

    def ahead(self, count: int) -> Sequence[Item]:
        """The items that are here, at most `count`."""
        with self._room:
            while self._held_from < self.taken:
                self._characters -= len(self._held.popleft().text)
                self._held_from += 1
            self._room.notify()
            found = [self._held[at] for at in range(min(count, len(self._held)))]
            if not found and self._is_over:
                self._is_ended = True
                self.error = self.error or self._failure
            return found

    @property
    def is_exhausted(self) -> bool:
        """Whether all was read and taken."""
        return self._is_ended

    def end(self) -> None:
        """Give no more."""
        with self._room:
            self._is_over = self._is_ended = True
            self._held_from = self.taken
            self._held.clear()
            self._room.notify()
        self._reader.stop()

    def close(self) -> None:
        """Nothing to do: see ``join``."""

    def join(self) -> None:
        """Have the thread end, and close the files."""
        self.end()
        self._thread.join()
        self._reader.close()

    def _run(self) -> None:
        try:
            for item in self._items:
                with self._room:
                    while self._is_full() and not self._is_over:
                        self._room.wait()
                    if self._is_over:
                        return
                    self._held.append(item)
                    self._characters += len(item.text)
                self.ring()
        except BaseException as failure:
            self._failure = failure
        finally:
            self._is_over = True
            self.ring()

    def _is_full(self) -> bool:
        held = len(self._held)
        return held >= MOST_ITEMS or (held > 0 and self._characters >= MOST_CHARACTERS)
