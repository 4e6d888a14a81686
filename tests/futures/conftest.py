"""Fixtures for tests about executors.

``any_executor`` runs a test twice: on the standard library's executor and on ours. What the two
must have in common is written once.
"""

from __future__ import annotations

import concurrent.futures
import multiprocessing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import procession
from procession.futures import Executor
from tests.futures.gates import Stage
from tests.pool.gates import Log


@pytest.fixture(params=["stdlib", "procession"])
def make_executor(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Makes executors whose workers are forked: the standard library's, then ours."""
    if request.param == "stdlib":
        context: Any = multiprocessing.get_context("fork")
        kind: Any = concurrent.futures.ProcessPoolExecutor
    else:
        context, kind = procession.get_context("fork"), Executor
    return lambda workers, *args, **kwds: kind(workers, context, *args, **kwds)


@pytest.fixture
def any_executor(make_executor: Callable[..., Any]) -> Iterator[Any]:
    """An executor of two workers: the standard library's, then ours."""
    with make_executor(2) as executor:
        yield executor


@pytest.fixture
def executor() -> Iterator[Executor]:
    """An executor of ours, of two workers."""
    with Executor(2, procession.get_context("fork")) as executor:
        yield executor


@pytest.fixture
def stage() -> Iterator[Stage]:
    """A stage. To be named before the executor in a test's arguments."""
    stage = Stage()
    yield stage
    stage.close()


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """An empty log."""
    return Log(tmp_path / "log")
