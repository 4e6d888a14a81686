"""``shared`` runs a test on the standard library's module, and on ours."""

from __future__ import annotations

import gc
import multiprocessing.sharedctypes
from collections.abc import Iterator
from typing import Any

import pytest

from tests.plugins import starting

METHODS = ["fork", "spawn", "forkserver"]


@pytest.fixture(params=["stdlib", "procession"])
def shared(request: pytest.FixtureRequest) -> Any:
    """The module under test: what the two must have in common is written once."""
    if request.param == "stdlib":
        return multiprocessing.sharedctypes
    import procession.sharedctypes

    return procession.sharedctypes


@pytest.fixture(params=METHODS)
def ctx(request: pytest.FixtureRequest) -> Any:
    """A context of ours, of each start method."""
    import procession

    return procession.get_context(request.param)


@pytest.fixture(autouse=True, scope="package")
def _kept_by_the_standard_library(_kept_for_good: None) -> Iterator[None]:
    """What it makes once, lest the first test is blamed."""
    multiprocessing.sharedctypes.RawValue("i", 0)
    multiprocessing.sharedctypes.RawArray("b", 2048)
    with starting.stdlib_tracker():
        yield


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """The zygote, kept to the end of a process; and what ended children held, until a sweep."""
    yield
    from procession import _core
    from procession._launch import forkserver

    forkserver._zygote._end()
    gc.collect()
    _core.sweep()
