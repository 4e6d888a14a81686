"""What the tests of the start methods have in common."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.plugins import starting


@pytest.fixture(autouse=True, scope="package")
def _kept_by_the_standard_library(_kept_for_good: None) -> Iterator[None]:
    """What it makes once, lest the first test is blamed."""
    with starting.stdlib_tracker():
        yield
