"""The case with skewed durations: its list of items, and the best that can be made of it."""

from __future__ import annotations

from time import perf_counter_ns

import pytest

from benchmarks.cases import skew
from benchmarks.contract import Function, PoolRival
from benchmarks.schedules import best_possible, dealt_out
from benchmarks.tasks import take


@pytest.mark.parametrize(
    ("items", "workers", "best", "in_order"),
    [
        ([3], 2, 3, 3),
        ([1, 1, 1, 1], 2, 2, 2),
        ([1, 1, 2], 2, 2, 3),
        ([2, 1, 1], 2, 2, 2),
        ([1, 1, 1, 9], 2, 9, 10),
        ([5, 5, 5], 1, 15, 15),
        ([2, 2, 3], 3, 3, 3),
    ],
)
def test_the_best_schedule_and_that_of_who_knows_nothing(
    items: list[int], workers: int, best: float, in_order: float
) -> None:
    assert best_possible(items, workers) == best
    assert dealt_out(items, workers) == in_order


@pytest.mark.parametrize("n", [1, 2, 20, 200])
def test_skewed_items_are_the_same_each_time_and_as_much_work_as_n_means(n: int) -> None:
    items = skew.durations(n)
    assert items == skew.durations(n)
    assert len(items) == n
    assert sum(items) == pytest.approx(n * skew.MEAN, abs=n)


def test_there_is_a_long_item_early_and_another_late() -> None:
    items = skew.durations(200)
    longest = sorted(sorted(range(200), key=items.__getitem__)[-2:])
    assert longest == [20, 160]
    assert all(items[place] > 10 * skew.MEAN for place in longest)


@pytest.mark.parametrize("workers", [2, 4])
def test_who_deals_out_one_by_one_can_keep_within_a_hundredth(workers: int) -> None:
    items = skew.durations(200)
    assert dealt_out(items, workers) <= 1.01 * best_possible(items, workers)


def test_the_figure_is_relative_to_the_best_for_so_many_workers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Slow(PoolRival):
        workers = 4

        @classmethod
        def open(cls, workers: int) -> Slow:
            raise NotImplementedError

        def close(self) -> None:
            raise NotImplementedError

        def map_all(self, function: Function, arguments: object) -> list[int]:
            assert function is take
            return [400, 100, 100]

    ticks = iter([0.0, 0.0006])
    monkeypatch.setattr("benchmarks.cases.skew.perf_counter", lambda: next(ticks))
    monkeypatch.setattr("benchmarks.cases.skew.durations", lambda n: [400, 100, 100])
    assert skew.run(Slow(), 3) == pytest.approx(1.5)
    Slow.workers = 1
    ticks = iter([0.0, 0.0006])
    assert skew.run(Slow(), 3) == pytest.approx(1.0)


@pytest.mark.parametrize("microseconds", [0, 20, 1000])
def test_a_task_takes_at_least_its_time_and_gives_it_back(microseconds: int) -> None:
    begin = perf_counter_ns()
    assert take(microseconds) == microseconds
    assert perf_counter_ns() - begin >= 1000 * microseconds
