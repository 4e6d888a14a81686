"""``connections`` runs a test twice: on the standard library's connections, and on ours.

What the two must have in common is written once, and a test that the standard library fails is a
mistaken test.
"""

from __future__ import annotations

import multiprocessing.connection
import multiprocessing.resource_sharer
from collections.abc import Iterator
from typing import Any

import pytest

from tests.plugins import starting


@pytest.fixture(params=["stdlib", "procession"])
def connections(request: pytest.FixtureRequest) -> Any:
    """A module: multiprocessing.connection, then procession.connection."""
    if request.param == "stdlib":
        return multiprocessing.connection
    import procession.connection  # not before the tests, as elsewhere

    return procession.connection


@pytest.fixture(params=[True, False], ids=["duplex", "one-way"])
def ends(request: pytest.FixtureRequest, connections: Any) -> Iterator[tuple[Any, Any]]:
    """One that receives and one that sends, connected by a socket, then by a pipe."""
    made = connections.Pipe(request.param)
    yield made
    for end in made:
        end.close()


@pytest.fixture
def pair() -> Iterator[tuple[Any, Any]]:
    """Two connected connections of ours, which can both send."""
    from procession.connection import Pipe

    made = Pipe()
    yield made
    for end in made:
        end.close()


@pytest.fixture(autouse=True, scope="package")
def _kept_by_the_standard_library(_kept_for_good: None) -> Iterator[None]:
    """What it makes once, lest the first test is blamed."""
    with starting.stdlib_tracker():
        yield


@pytest.fixture(autouse=True)
def _nothing_is_served_any_more() -> Iterator[None]:
    """What is kept from its first need on; the process ends, so to speak, with each test."""
    yield
    multiprocessing.resource_sharer.stop()
