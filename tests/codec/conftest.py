"""For the codec's tests: what was seen to repeat in one is not known in the next."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from procession import _core
from procession._codec import repeats
from procession._codec.objects import reducers
from tests.codec.roads import ROADS, Copies, Road


@pytest.fixture(autouse=True)
def _nothing_repeats() -> Iterator[None]:
    repeats.forget()
    yield
    repeats.forget()


@pytest.fixture
def nothing_registered() -> Iterator[None]:
    """As in a process that has not loaded what registers: the library's managers, for arrays."""
    table, agrees = reducers.table, reducers._agrees
    reducers.use({}, agrees)
    yield
    reducers.use(table, agrees)


@pytest.fixture(params=list(ROADS))
def road(request: pytest.FixtureRequest) -> Road:
    """Each way that an object goes."""
    return ROADS[request.param]


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of all buffers that are copied to shared memory."""
    sizes: list[int] = []
    monkeypatch.setattr(Copies, "sizes", sizes, raising=False)
    monkeypatch.setattr(_core, "Memory", Copies)
    return sizes


# Packages start threads at their first use, which no test is to be blamed for.


@pytest.fixture(scope="session")
def pandas(arrow: Any) -> Any:
    """The package, or the test is skipped."""
    module = pytest.importorskip("pandas")
    module.DataFrame({"text": ["a"] * 100_000, "when": module.Timestamp(0)}).copy()
    return module


@pytest.fixture(scope="session")
def arrow() -> Any:
    """pyarrow, or the test is skipped."""
    module = pytest.importorskip("pyarrow")
    module.table({"a": ["x"] * 100_000}).to_pandas()
    return module


@pytest.fixture(scope="session")
def polars(arrow: Any) -> Any:
    """The package, or the test is skipped."""
    module = pytest.importorskip("polars")
    frame = module.DataFrame({"a": range(100_000), "b": ["x"] * 100_000})
    pickle.loads(pickle.dumps(frame)).sort("b").group_by("b").sum()
    module.from_arrow(frame.to_arrow())
    return module


@pytest.fixture(scope="session")
def torch() -> Any:
    """The package, or the test is skipped."""
    module = pytest.importorskip("torch")
    module.ones(500, 500) @ module.ones(500, 500)
    return module
