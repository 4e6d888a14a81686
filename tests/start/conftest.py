"""What the tests of the start methods have in common."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True, scope="session")
def _kept_by_the_standard_library(_kept_for_good: None) -> None:
    """Its resource tracker, and its heap, live as long as this process."""
    import procession

    procession.get_context("spawn").Lock()
    procession.RawValue("i", 0)
