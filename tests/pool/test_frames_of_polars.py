"""Frames of polars go to children that were forked after polars had started its threads: these are
not there, and what waits for them would do so for ever. And they arrive as they were."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import procession

pytest.importorskip("pyarrow")
pl: Any = pytest.importorskip("polars")

N = 20_000
FORK = procession.get_context("fork")


def _cast(kind: Any) -> Callable[[], Any]:
    return lambda: pl.select(pl.int_range(N).cast(kind).alias("column"))


def _pairs() -> Any:
    number = pl.int_range(N).alias("number")
    return pl.select(column=pl.concat_list(number, number))


KINDS: dict[str, Callable[[], Any]] = {
    "int": _cast(pl.Int32),
    "text": _cast(pl.String),
    "date": _cast(pl.Date),
    "datetime": _cast(pl.Datetime("us", "UTC")),
    "duration": _cast(pl.Duration),
    "time": _cast(pl.Time),
    "decimal": _cast(pl.Decimal(20, 2)),
    "enum": lambda: pl.DataFrame(
        {"column": pl.Series(["a", "b"] * (N // 2), dtype=pl.Enum(["a", "b"]))}
    ),
    "list": _pairs,
    "array": lambda: _pairs().select(pl.col("column").cast(pl.Array(pl.Int64, 2))),
    "struct": lambda: pl.select(column=pl.struct(a=pl.int_range(N), b=pl.int_range(N))),
}


def _same(thing: Any) -> Any:
    return thing


@pytest.fixture(scope="module", autouse=True)
def _threads_of_polars() -> None:
    """They are started at their first use, and kept."""
    for make in KINDS.values():
        make().sort("column").to_arrow()


@pytest.mark.parametrize("kind", KINDS)
def test_a_frame_to_a_child_and_back(kind: str) -> None:
    frame = KINDS[kind]()
    with FORK.Pool(1) as pool:
        back = pool.apply(_same, (frame,))
    assert back.schema == frame.schema
    assert back.equals(frame)


@pytest.mark.parametrize("name", ["", "a name"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_series_keeps_its_name(kind: str, name: str) -> None:
    series = KINDS[kind]().to_series().alias(name)
    with FORK.Pool(1) as pool:
        back = pool.apply(_same, (series,))
    for one in (back, procession.share(series)):
        assert one.name == name
        assert one.equals(series, check_dtypes=True, check_names=True)


def test_what_is_known_of_the_order_is_kept() -> None:
    up, none = pl.Series(range(N)), pl.Series([n % 7 for n in range(N)])
    frame = pl.DataFrame({"": up.sort(), "down": up.sort(descending=True), "none": none})
    with FORK.Pool(1) as pool:
        back = pool.apply(_same, (frame,))
    assert back.equals(frame)
    assert back.flags == frame.flags
    assert [back[:, at].flags["SORTED_ASC"] for at in range(3)] == [True, False, False]
    assert back["down"].flags["SORTED_DESC"]


def _in_pieces(column: Any) -> Any:
    """A frame whose columns are cut at different rows."""
    whole = column.rechunk().alias("whole")
    pieces = pl.concat([column[: N // 3], column[N // 3 :]], rechunk=False)
    frame = pl.DataFrame([whole, pieces.alias("pieces")])
    frame.columns = ["whole", ""]
    return frame


def test_a_child_sends_columns_that_are_cut_at_different_rows() -> None:
    date = KINDS["date"]().to_series()
    with FORK.Pool(1) as pool:
        back = pool.apply(_in_pieces, (date,))
        assert pool.apply(_same, (_in_pieces(date),)).equals(back)
    assert back.columns == ["whole", ""]
    assert back["whole"].equals(date)
    assert back[""].equals(date)


def test_a_queue_to_a_process() -> None:
    frame = KINDS["date"]()
    there, back = FORK.Queue(), FORK.Queue()
    process = FORK.Process(target=lambda: back.put(there.get()))
    process.start()
    there.put(frame)
    assert back.get().equals(frame)
    process.join()
    for queue in (there, back):
        queue.close()
