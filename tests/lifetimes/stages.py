"""Where a process of a test arrives, says so, and waits for a word. Works across all start methods.

A stage is two FIFOs, known by their path. Its test holds both of them open, so that nobody waits
for anybody in open().
"""

from __future__ import annotations

import faulthandler
import os
import re
import resource
import select
import time
from pathlib import Path
from typing import NoReturn

from tests.plugins.scripts import LIMIT

EXIT_CODE = 7
"""What ``Stage.reach`` exits with when it is told to."""


class Stage:
    """The test's side, and (pickled as its path) that of the processes.

    Args:
        path: a folder to be made for the two FIFOs.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self._held: list[int] = []
        for name in ("news", "words"):
            os.mkfifo(path / name)
            self._held.append(os.open(path / name, os.O_RDWR | os.O_NONBLOCK))
        self._unread = b""

    def __reduce__(self) -> tuple[object, ...]:
        return known_by_path, (self.path,)

    # ---- the test's side

    def news(self) -> str:
        """Wait for the next line that a process has told."""
        deadline = time.monotonic() + LIMIT
        while b"\n" not in self._unread:
            ready, _, _ = select.select(self._held[:1], [], [], deadline - time.monotonic())
            assert ready, "nobody arrived at the stage"
            self._unread += os.read(self._held[0], 4096)
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode()

    def arrival(self) -> int:
        """Wait until a process arrives; its pid."""
        return int(self.news())

    def has_news(self) -> bool:
        """Whether anybody has told something."""
        return bool(self._unread or select.select(self._held[:1], [], [], 0)[0])

    def say(self, word: str) -> None:
        """Say one word to one of the processes that wait, or will wait."""
        os.write(self._held[1], f"{word:<16}".encode())

    def close(self) -> None:
        """Give the descriptors back."""
        while self._held:
            os.close(self._held.pop())

    # ---- the side of the processes

    def tell(self, line: object) -> None:
        """Tell the test something."""
        faulthandler.disable()  # the test runner's, in its copies: a crash here is no news
        fd = os.open(self.path / "news", os.O_WRONLY)
        os.write(fd, f"{line}\n".encode())
        os.close(fd)

    def wait(self) -> str:
        """Wait for a word."""
        fd = os.open(self.path / "words", os.O_RDONLY)
        try:
            return os.read(fd, 16).decode().strip()
        finally:
            os.close(fd)

    def reach(self) -> None:
        """Say who is here, wait for a word, and act on it: see ``act``."""
        self.tell(os.getpid())
        act(self.wait())


def known_by_path(path: Path) -> Stage:
    """The side of the processes."""
    stage = Stage.__new__(Stage)
    stage.path = path
    return stage


def act(word: str) -> None:
    """Go on; or end in the way that the word says.

    Raises OSError on the word "descriptors": there are none left.
    """
    if word == "exit":
        os._exit(EXIT_CODE)
    if word == "descriptors":
        use_up_descriptors()
    assert word == "go", word


def use_up_descriptors() -> NoReturn:
    """Ask for a descriptor when there are none left, and raise what the system says."""
    os.close(highest := os.open(os.devnull, os.O_RDONLY))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))
    os.open(os.devnull, os.O_RDONLY)
    raise AssertionError("there was one left")


def compute() -> None:
    """For ever, in C, never letting go of the interpreter."""
    re.match(r"(a+)+b", "a" * 64)
