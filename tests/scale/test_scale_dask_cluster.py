"""The cluster of the tests itself: it is what it says."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.scale


def test_its_workers_are_on_two_machines(dask_client: Any) -> None:
    workers = dask_client.scheduler_info()["workers"].values()
    assert {worker["host"] for worker in workers} == {"127.0.0.3", "127.0.0.4"}
