"""Fixtures: ``setting`` runs a test on each engine; ``make_pool`` and ``make_executor`` use it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from procession.futures import Executor
from procession.pool import Pool
from tests.contract.engines import SETTINGS, WORKERS, Setting
from tests.contract.tasks import Signals


@pytest.fixture(params=[pytest.param(one, id=one.name, marks=one.marks) for one in SETTINGS])
def setting(request: pytest.FixtureRequest) -> Setting:
    """One engine after the other."""
    found: Setting = request.param
    return found


@pytest.fixture
def backend(setting: Setting) -> Iterator[dict[str, Any]]:
    """Keywords for a door: the engine, while the test runs."""
    with setting.backend() as backend:
        yield {"backend": backend, "backend_options": setting.options}


@pytest.fixture
def signals(tmp_path: Path) -> Iterator[Signals]:
    """What a test and its tasks tell each other. At the end, all who wait may go on."""
    signals = Signals(str(tmp_path))
    yield signals
    signals.open_all()


@pytest.fixture
def make_pool(backend: dict[str, Any], signals: Signals) -> Iterator[Callable[..., Pool]]:
    """Makes pools of two workers on the engine; terminated at the end."""
    with contextlib.ExitStack() as stack:
        stack.callback(signals.open_all)

        def make(processes: int | None = WORKERS, *args: Any, **words: Any) -> Pool:
            kind: Any = Pool
            pool: Pool = kind(processes, *args, **backend, **words)
            stack.callback(pool.join)
            stack.callback(pool.terminate)
            stack.callback(signals.open_all)
            return pool

        yield make


@pytest.fixture
def pool(make_pool: Callable[..., Pool]) -> Pool:
    """A pool of two workers."""
    return make_pool()


@pytest.fixture
def make_executor(backend: dict[str, Any], signals: Signals) -> Iterator[Callable[..., Executor]]:
    """Makes executors of two workers on the engine; shut down at the end."""
    with contextlib.ExitStack() as stack:

        def make(max_workers: int | None = WORKERS, *args: Any, **words: Any) -> Executor:
            kind: Any = Executor
            executor: Executor = kind(max_workers, *args, **backend, **words)
            stack.enter_context(executor)
            stack.callback(signals.open_all)
            return executor

        yield make


@pytest.fixture
def executor(make_executor: Callable[..., Executor]) -> Executor:
    """An executor of two workers."""
    return make_executor()
