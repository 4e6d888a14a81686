"""joblib and scikit-learn are in the environment of `make test-scale` alone."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

if find_spec("joblib") is None:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(autouse=True)
def _no_pool_is_kept() -> Iterator[None]:
    yield
    backend = sys.modules.get("procession.joblib")
    if backend is not None:
        backend.shutdown()
