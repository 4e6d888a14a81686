"""For tests of the engine without processes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from procession._codec import repeats


@pytest.fixture(autouse=True)
def _forgets_what_repeats() -> Iterator[None]:
    """As the end of a pool does; a fake engine has none."""
    yield
    repeats.forget()
