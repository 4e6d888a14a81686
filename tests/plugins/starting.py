"""Fixtures for tests that start processes: ``method`` and ``ctx`` run one under each method.

The fork server is kept from its first need to the end of the process, which in the tests is that
of each test.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import pytest

METHODS = ["fork", "spawn", "forkserver"]


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> str:
    """The name of a start method."""
    name: str = request.param
    return name


@pytest.fixture
def ctx(method: str) -> Any:
    """The context of a start method."""
    import procession  # not before the tests: plugins are loaded in every run of pytest

    return procession.get_context(method)


@pytest.fixture(autouse=True)
def _no_zygote_is_left() -> Iterator[None]:
    yield
    forkserver = sys.modules.get("procession._launch.forkserver")
    if forkserver is not None:
        forkserver._zygote._end()


@contextlib.contextmanager
def stdlib_tracker() -> Iterator[None]:
    """The standard library's resource tracker runs: a child process, from its first need on.

    For the package fixtures of tests that have it started; other tests want no child.
    """
    from multiprocessing import resource_tracker

    tracker: Any = resource_tracker._resource_tracker
    tracker.ensure_running()
    yield
    tracker._stop()
