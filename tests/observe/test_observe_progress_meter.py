"""Rates, times that are left, and the line of text about them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procession._observe.progress_line import PLAIN_BLOCKS, last_line, running_line
from procession._observe.progress_meter import WINDOW, Counts, Meter, Snapshot


def test_the_rate_is_that_of_the_last_seconds() -> None:
    meter = Meter(1000, 0.0)
    for second in range(1, 51):
        meter.read(Counts(second), float(second))
    assert meter.read(Counts(50), 50.0).rate == 1.0
    for second in range(51, 70):
        meter.read(Counts(50 + 10 * (second - 50)), float(second))
    shown = meter.read(Counts(250), 70.0)
    assert shown.rate == pytest.approx(10.0)
    assert shown.eta == pytest.approx((1000 - 250) / 10)


def test_the_rate_goes_down_while_nothing_comes() -> None:
    meter = Meter(100, 0.0)
    assert meter.read(Counts(10), 1.0).rate == 10.0
    assert meter.read(Counts(10), 5.0).rate == 2.0
    shown = meter.read(Counts(10), 1.0 + WINDOW)
    assert (shown.rate, shown.eta) == (0.0, None)


def test_at_the_end_it_is_that_of_the_whole() -> None:
    meter = Meter(100, 10.0)
    meter.read(Counts(10), 50.0)
    shown = meter.read_last(Counts(100), 60.0)
    assert (shown.rate, shown.eta, shown.elapsed) == (2.0, 0.0, 50.0)


def test_without_a_total_nobody_knows_what_is_left() -> None:
    shown = Meter(None, 0.0).read(Counts(10), 1.0)
    assert (shown.total, shown.eta, shown.rate) == (None, None, 10.0)


def test_no_time_and_no_items_are_no_error() -> None:
    meter = Meter(0, 0.0)
    shown = meter.read(Counts(0), 0.0)
    assert (shown.rate, shown.eta) == (0.0, 0.0)
    assert running_line(shown, "", 79, PLAIN_BLOCKS).startswith("100% #")
    assert last_line(shown, "", 79, True) == "0/0 in 0:00  0.0/s"


def test_the_line_says_it_all() -> None:
    shown = Snapshot(450, 1000, 2, 1, 4, 36.44, 15.1, 12.3)
    assert running_line(shown, "resize", 79, PLAIN_BLOCKS) == (
        "resize   45% #######.......... 450/1000  36.4/s  0:15 left  2 failed, 1 retried"
    )
    assert running_line(shown, "resize", 40, PLAIN_BLOCKS) == (
        "resize   45% 450/1000  36.4/s  0:15 left"
    )


@pytest.mark.parametrize(
    ("rate", "eta", "expected"),
    [(0.02, 3725.0, "50 s each  1:02:05"), (0.0, None, "0.0/s"), (1234.5, 59.7, "1234/s  1:00")],
)
def test_rates_and_times_are_short(rate: float, eta: float | None, expected: str) -> None:
    assert expected in running_line(Snapshot(1, 10, 0, 0, 0, rate, eta, 1.0), "", 99, PLAIN_BLOCKS)


def test_without_a_total_there_is_no_bar() -> None:
    shown = Snapshot(450, None, 0, 0, 4, 36.44, None, 75.0)
    assert running_line(shown, "resize", 79, PLAIN_BLOCKS) == "resize  450 done  36.4/s  1:15"


@given(
    st.integers(0, 10**9),
    st.one_of(st.none(), st.integers(0, 10**9)),
    st.floats(0, 1e6),
    st.text(max_size=30),
    st.integers(1, 200),
)
def test_a_line_is_never_too_long(
    done: int, total: int | None, elapsed: float, label: str, width: int
) -> None:
    meter = Meter(total, 0.0)
    shown = meter.read(Counts(done, failed=done // 2), elapsed)
    assert len(running_line(shown, label, width, PLAIN_BLOCKS)) <= width
    assert len(last_line(shown, label, width, False)) <= width
