"""``ctx`` runs a test on a context of each start method."""

from __future__ import annotations

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
    import procession

    return procession.get_context(method)


@pytest.fixture(autouse=True, scope="session")
def _kept_by_the_standard_library(_kept_for_good: None) -> None:
    """Its resource tracker, and its heap, live as long as this process."""
    import procession

    procession.get_context("spawn").Lock()
    procession.RawValue("i", 0)


@pytest.fixture(autouse=True)
def _no_zygote_is_left() -> Iterator[None]:
    """It is kept from its first need to the end of the process, which here is that of the test."""
    yield
    from procession._launch import forkserver

    forkserver._zygote._end()
