"""Functions for ``procession map``."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

CONSTANT = 3


def upper(text: str) -> str:
    """In capitals."""
    return text.upper()


def echo(item: Any) -> Any:
    """The item itself."""
    return item


def join(*parts: Any) -> str:
    """All arguments in one text."""
    return "-".join(map(str, parts))


def number(text: str) -> int:
    """A whole number; anything else is an error."""
    return int(text)


def odd(item: str) -> Any:
    """Results that JSON can not say."""
    return {"set": {1}, "nan": float("nan"), "object": object(), "fine": 1}[item]


def size(path: str) -> int:
    """Bytes of a file."""
    return os.path.getsize(path)


def sleep(text: str) -> str:
    """Take so many seconds."""
    time.sleep(float(text))
    return text


def die(text: str) -> str:
    """Kill the worker for one of the items."""
    if text == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    return text


def noted(text: str) -> int:
    """Write down each run; who has written beyond a size that was set waits to be killed."""
    with open(os.environ["RUNS_LOG"], "ab", buffering=0) as log:
        log.write(f"{os.environ.get('RUN', '')} {text!r}\n".encode())
        while "MOST" in os.environ and log.tell() >= int(os.environ["MOST"]):
            time.sleep(0.01)
    if text == os.environ.get("FAILING"):
        raise ValueError(f"no {text}")
    return int(text) ** 2


class Namespace:
    """Something with a function in it."""

    @staticmethod
    def inner(text: str) -> str:
        """The text, turned round."""
        return text[::-1]


def chatty(text: str) -> str:
    """Print something, as programs do."""
    print("working on", text, file=sys.stderr)
    print("printed", text)
    os.write(1, b"written\n")
    return text


class UnspeakableError(Exception):
    """An error that has no text."""

    def __str__(self) -> str:
        raise ValueError("no")


def unspeakable(text: str) -> str:
    """Fail for one of the items, in a bad way."""
    if text == "fail":
        raise UnspeakableError
    return text
