"""Where items come from: each is given once and in order, whatever the input does."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procession._engine.sources import PATIENCE, STRIDE, Pulled, Sliced, Source


class Clock:
    """Time that passes when the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr("procession._engine.sources.monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def _take(source: Source, count: int) -> list[Any]:
    """Take what is ahead, as a call does."""
    items = list(source.ahead(count))
    source.taken += len(items)
    return items


@given(
    count=st.integers(0, 200),
    make=st.sampled_from([range, lambda n: list(range(n)), lambda n: tuple(range(n))]),
    pulled=st.booleans(),
    whole=st.booleans(),
    steps=st.lists(st.tuples(st.integers(1, 50), st.booleans()), max_size=30),
)
def test_each_item_is_taken_once_and_in_order(
    count: int,
    make: Callable[[int], Any],
    pulled: bool,
    whole: bool,
    steps: list[tuple[int, bool]],
) -> None:
    source: Source = Pulled(iter(make(count)), whole=whole) if pulled else Sliced(make(count))
    taken: list[int] = []
    for size, is_taken in [*steps, *[(50, True)] * 300]:
        items = list(source.ahead(size))
        assert len(items) <= size
        assert source.taken == len(taken)
        if is_taken:  # else it was only looked at: an interrupt came in
            taken += items
            source.taken += len(items)
        elif items:
            assert not source.is_exhausted
    assert taken == list(range(count))
    assert source.is_exhausted
    assert list(source.ahead(5)) == []


def test_a_slice_of_a_range_is_one() -> None:
    source = Sliced(range(10**12))
    assert source.ahead(5) == range(5)
    assert source.total == 10**12


@pytest.mark.parametrize("items", [[1, 2], (1, 2), range(2), "ab"])
def test_a_slice_is_of_its_own_kind(items: Any) -> None:
    assert type(Sliced(items).ahead(1)) is type(items)


@pytest.mark.parametrize("make", [lambda: Sliced(range(10)), lambda: Pulled(iter(range(10)))])
def test_ended_it_gives_no_more(make: Callable[[], Source]) -> None:
    source = make()
    _take(source, 3)
    source.ahead(2)
    source.end()
    assert list(source.ahead(5)) == []
    assert source.is_exhausted


@pytest.mark.parametrize(
    ("items", "total"),
    [
        ([1, 2], 2),
        (iter([1, 2]), 2),
        (deque([1]), 1),
        ({1: 2}, 1),
        ((x for x in "ab"), None),
        (itertools.count(), None),
    ],
)
def test_the_length_is_told_where_it_is_known(items: Any, total: int | None) -> None:
    assert Pulled(items).total == total


def test_a_length_that_can_not_be_told_is_not_known() -> None:
    class Odd:
        def __iter__(self) -> Iterator[int]:
            return iter([1])

        def __len__(self) -> int:
            raise ValueError("no length")

    source = Pulled(Odd())
    assert source.total is None
    assert _take(source, 5) == [1]


def test_what_is_no_iterable_is_refused() -> None:
    with pytest.raises(TypeError, match="not iterable"):
        Pulled(7)  # type: ignore[arg-type]


def test_a_slow_input_does_not_hold_back_what_it_gave(clock: Clock) -> None:
    def items() -> Iterator[int]:
        for x in itertools.count():
            clock.now += 1.0
            yield x

    source = Pulled(items())
    for x in range(5):
        assert _take(source, 100) == [x]


def test_an_input_that_gets_slow_holds_back_no_more_than_a_stride(clock: Clock) -> None:
    def items() -> Iterator[int]:
        for x in itertools.count():
            clock.now += 1.0 if x >= 40 else 0.0
            yield x

    source = Pulled(items())
    assert len(_take(source, 100)) <= 40 + STRIDE
    assert len(_take(source, 100)) == 1


def test_a_fast_input_is_pulled_as_far_as_asked_for(clock: Clock) -> None:
    pulled = itertools.count()
    source = Pulled(pulled)
    assert _take(source, 100) == list(range(100))
    assert next(pulled) == 100


def test_what_is_to_be_whole_is_waited_for(clock: Clock) -> None:
    def items() -> Iterator[int]:
        for x in range(250):
            yield x
            clock.now += 10 * PATIENCE

    source = Pulled(items(), whole=True)
    assert [len(_take(source, 100)) for _ in range(4)] == [100, 100, 50, 0]


@pytest.mark.parametrize("whole", [False, True])
def test_an_error_of_the_input_ends_it(whole: bool) -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise KeyError("input")

    source = Pulled(items(), whole=whole)
    assert _take(source, 3) == [0, 1, 2]
    # As in the standard library, what was pulled of a whole piece goes with it.
    assert _take(source, 3) == ([] if whole else [3, 4])
    assert _take(source, 3) == []
    assert source.is_exhausted
    assert type(source.error) is KeyError


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_of_the_main_thread_loses_nothing(kind: type[BaseException]) -> None:
    class Items:
        def __init__(self) -> None:
            self.left = iter(range(20))
            self.calls = 0

        def __iter__(self) -> Iterator[int]:
            return self

        def __next__(self) -> int:
            self.calls += 1
            if self.calls == 4:
                raise kind
            return next(self.left)

    source = Pulled(Items())
    with pytest.raises(kind):
        source.ahead(10)
    assert source.error is None
    taken = []
    while items := _take(source, 10):
        taken += items
    assert taken == list(range(20))


def test_in_another_thread_all_that_the_input_raises_is_its_error() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise SystemExit("input")

    source = Pulled(items())
    seen: list[Any] = []
    thread = threading.Thread(target=lambda: seen.append(_take(source, 5)))
    thread.start()
    thread.join()
    assert seen == [[1]]
    assert type(source.error) is SystemExit


def test_a_generator_is_closed() -> None:
    closed: list[bool] = []

    def items() -> Iterator[int]:
        try:
            yield from range(5)
        finally:
            closed.append(True)

    source = Pulled(items())
    source.ahead(1)
    source.close()
    assert closed == [True]
    source.close()
    assert closed == [True]


def test_a_generator_that_closes_its_own_call_is_left_to_itself() -> None:
    def items() -> Iterator[int]:
        yield 1
        source.close()
        yield 2

    source = Pulled(items())
    assert _take(source, 1) == [1]
    assert _take(source, 1) == [2]


def test_other_iterators_need_no_closing() -> None:
    class Items:
        def __iter__(self) -> Iterator[int]:
            return iter([1, 2])

        def close(self) -> None:
            raise AssertionError("it is not ours")

    Pulled(Items()).close()
    Sliced([1]).close()


# ---- an input that may change what it gave


def _kept(item: Any) -> Any:
    """Strings stay as they are; of a list a copy is kept, unless it is long."""
    if isinstance(item, str):
        return item
    return None if len(item) > 2 else tuple(item)


def _filled_anew(*lengths: int) -> Iterator[Any]:
    row: list[int] = []
    for number, length in enumerate(lengths):
        row[:] = [number] * length
        yield row if length else "empty"


@pytest.mark.usefixtures("clock")
def test_each_is_kept_before_the_next_is_pulled() -> None:
    source = Pulled(_filled_anew(1, 2, 0, 1, 1))
    source.keep = _kept
    found = source.ahead(4)
    assert found == [(0,), (1, 1), "empty", [3]]  # the last one is sent before another is pulled
    assert source.ahead(5) == [(0,), (1, 1), "empty", (3,), [4]]


@pytest.mark.usefixtures("clock")
def test_what_can_not_be_kept_has_to_be_sent() -> None:
    source = Pulled(_filled_anew(1, 3, 1, 4))
    source.keep = _kept
    assert source.ahead(4) == [(0,), [1, 1, 1]]
    source.taken = 1
    assert source.ahead(4) == [[1, 1, 1]]
    assert not source.is_exhausted
    source.taken = 2
    assert source.ahead(4) == [(2,), [3] * 4]
    source.taken = 4
    assert source.ahead(4) == []
    assert source.is_exhausted


def test_where_nothing_runs_nothing_is_kept() -> None:
    rows = [[1], [2, 3, 4], [5]]
    for items in (rows, tuple(rows), dict(enumerate(rows)).values(), range(3)):
        source = Pulled(items)
        source.keep = lambda item: pytest.fail("nothing can have changed")
        assert not source.runs_code
        assert list(source.ahead(3)) == list(items)
    assert Pulled(row for row in rows).runs_code
    assert Pulled(map(abs, [1])).runs_code


@pytest.mark.usefixtures("clock")
def test_an_interrupt_while_one_is_kept_loses_none() -> None:
    calls = 0

    def keep(item: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return tuple(item)

    source = Pulled(_filled_anew(1, 1, 1))
    source.keep = keep
    with pytest.raises(KeyboardInterrupt):
        source.ahead(3)
    assert source.ahead(3) == [(0,), (1,), [2]]


@pytest.mark.usefixtures("clock")
def test_an_input_that_fails_behind_what_was_kept() -> None:
    def items() -> Iterator[Any]:
        yield from _filled_anew(1, 1)
        raise OSError("torn")

    source = Pulled(items())
    source.keep = _kept
    assert source.ahead(5) == [(0,), (1,)]
    assert isinstance(source.error, OSError)


def test_a_slow_input_does_not_hold_back_what_was_kept(clock: Clock) -> None:
    def items() -> Iterator[Any]:
        for item in _filled_anew(1, 1, 1):
            clock.now += PATIENCE / 1.5
            yield item

    source = Pulled(items())
    source.keep = _kept
    assert source.ahead(3) == [(0,), [1]]
    assert source.ahead(3) == [(0,), (1,), [2]]
