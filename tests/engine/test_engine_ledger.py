"""The ledger's numbers."""

from __future__ import annotations

from typing import Any

from procession._engine.entries import Task
from procession._engine.ledger import Ledger
from procession._engine.options import PLAIN


def test_numbers_begin_at_one_and_are_never_reused() -> None:
    ledger = Ledger()
    numbers = [ledger.next_number() for _ in range(100)]
    assert numbers == list(range(1, 101))
    assert ledger.last == 100


def test_the_oldest_is_the_least_that_is_open() -> None:
    ledger = Ledger()
    record: Any = object()
    assert ledger.oldest() == 1  # the next one to be given
    for _ in range(5):
        ledger.open[ledger.next_number()] = record
    assert ledger.oldest() == 1
    del ledger.open[1], ledger.open[2]
    assert ledger.oldest() == 3
    ledger.open.clear()
    assert ledger.oldest() == 6


def test_while_others_enter_theirs_nothing_counts_as_done() -> None:
    class Changing(dict[int, Any]):
        def __iter__(self) -> Any:
            raise RuntimeError("dictionary changed size during iteration")

    class Crowded(Ledger):
        open = Changing({7: None})

    assert Crowded().oldest() == 0


def test_the_earliest_and_the_latest_are_told_by_when_they_were_sent() -> None:
    ledger = Ledger()
    assert ledger.earliest() is None
    assert ledger.latest() is None
    first, second, third = (Task(None, abs, PLAIN) for _ in range(3))
    ledger.open.update({2: first, 1: second, 3: third})
    assert (ledger.earliest(), ledger.latest()) == (first, third)
    del ledger.open[2]
    assert ledger.earliest() is second
