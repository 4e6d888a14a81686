"""Functions that write down each of their runs, so that runs can be counted."""

from __future__ import annotations

import os
from typing import Any


def _note(what: object) -> None:
    with open(os.environ["RUNS_LOG"], "ab", buffering=0) as log:
        log.write(f"{os.environ.get('RUN', '')} {what!r}\n".encode())


def square(item: Any) -> int:
    """The square of a number, or of a text that says one."""
    _note(item)
    return int(item) ** 2


def echo(item: Any) -> Any:
    """The item itself."""
    _note(item)
    return item


def odd_only(item: int) -> int:
    """Fails for even numbers, unless these are mended."""
    _note(item)
    if item % 2 == 0 and "MENDED" not in os.environ:
        raise ValueError(f"{item} is even")
    return item


def add(left: int, right: int) -> int:
    """A sum."""
    _note((left, right))
    return left + right
