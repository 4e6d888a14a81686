"""What the tests of the start methods have in common."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True, scope="package")
def _kept_by_the_standard_library(_kept_for_good: None, stdlib_tracker: None) -> None:
    """What it makes once, lest the first test is blamed."""
