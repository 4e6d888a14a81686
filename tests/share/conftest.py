"""Fixtures for the tests of share()."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import procession

Start = Callable[..., Any]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a process under a context; it is killed at the end, if it still runs."""
    started: list[Any] = []

    def begin(target: Callable[..., object], *args: Any, ctx: Any = None) -> Any:
        process = (ctx or procession.get_context("fork")).Process(target=target, args=args)
        process.start()
        started.append(process)
        return process

    yield begin
    for process in started:
        with contextlib.suppress(ValueError):
            process.kill()
            process.join()
            process.close()
