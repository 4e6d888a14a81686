"""Frames and tables are shared with all their columns, and are what they were."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import procession
from tests.share.places import place, refuses_writes, shared_blocks

pandas: Any = pytest.importorskip("pandas")
polars: Any = pytest.importorskip("polars")
pyarrow: Any = pytest.importorskip("pyarrow")

COUNT = 50_000


@pytest.fixture(scope="module", autouse=True)
def _threads_of_the_libraries() -> None:
    """They start threads of their own at their first use, and keep them."""
    for make, look in KINDS.values():
        look(make())


def columns() -> dict[str, Any]:
    return {"number": np.arange(COUNT), "half": np.arange(COUNT) / 2}


def addresses(table: Any) -> list[Any]:
    """Where the buffers of a pyarrow table lie."""
    return [
        place(memoryview(buffer))
        for column in table.columns
        for chunk in column.chunks
        for buffer in chunk.buffers()
        if buffer is not None and buffer.size >= 4096
    ]


def of_pandas(frame: Any) -> tuple[list[Any], float]:
    """Where the columns lie, and what is in them."""
    return [place(frame[name].to_numpy()) for name in ("number", "half")], float(frame.sum().sum())


def of_arrow(table: Any) -> tuple[list[Any], float]:
    return addresses(table), float(sum(table.column("half").to_numpy()))


def of_polars(frame: Any) -> tuple[list[Any], float]:
    return addresses(frame.to_arrow()), float(frame["half"].sum())


def make_pandas() -> Any:
    return pandas.DataFrame(columns())


def make_arrow() -> Any:
    return pyarrow.table(columns())


def make_polars() -> Any:
    return polars.DataFrame(columns())


KINDS = {
    "pandas": (make_pandas, of_pandas),
    "pyarrow": (make_arrow, of_arrow),
    "polars": (make_polars, of_polars),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_frame_is_a_frame(kind: str) -> None:
    make, look = KINDS[kind]
    given = make()
    shared = procession.share(given)
    assert type(shared) is type(given)
    assert shared.equals(given)
    places, total = look(shared)
    assert None not in places
    assert len(places) == len({*places}) == 2
    assert total == look(given)[1]
    assert shared_blocks() == 1
    assert procession.share(shared) is shared


@pytest.mark.parametrize("kind", KINDS)
def test_all_processes_look_at_the_same_columns(kind: str, ctx: Any) -> None:
    make, look = KINDS[kind]
    shared = procession.share(make())
    with ctx.Pool(1) as pool:
        assert pool.apply(look, (shared,)) == look(shared)
    assert shared_blocks() == 1


def test_a_column_and_some_rows_of_a_pandas_frame() -> None:
    shared = procession.share(make_pandas())
    with procession.Pool(1) as pool:
        column = shared["half"].to_numpy()
        assert pool.apply(place, (column[1000:9000],)) == place(column[1000:9000])
        assert pool.apply(refuses_writes, (column[1000:9000],))


def test_columns_of_many_kinds() -> None:
    given = pandas.DataFrame(
        {
            **columns(),
            "date": pandas.date_range("2026-01-01", periods=COUNT, freq="min"),
            "kind": pandas.Categorical(["a", "b"] * (COUNT // 2)),
            "object": [None, {"any": "thing"}] * (COUNT // 2),
            "text": ["some", "text"] * (COUNT // 2),
        }
    )
    shared = procession.share({"frame": given, "rows": COUNT})
    assert shared["rows"] == COUNT
    pandas.testing.assert_frame_equal(shared["frame"], given)
    with procession.Pool(1) as pool:
        back = pool.apply(pandas.DataFrame.copy, (shared["frame"],))
    pandas.testing.assert_frame_equal(back, given)


def test_what_is_written_to_a_copy_stays_there() -> None:
    shared = procession.share(make_pandas())
    copy = shared.copy()
    copy.loc[0, "half"] = -1.0
    assert shared["half"].iloc[0] == 0.0
