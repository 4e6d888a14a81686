"""What is taken back from workers: all behind an item that takes long, half of what is too much."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procession._engine.balancing import STUCK, Balance
from procession._engine.options import Options
from procession._engine.sharing import Sharing
from tests.engine.engines import FakeEngine

LATER = STUCK * 1.5


def _row(seat: int, number: int, begun: int, end: int, done: int) -> tuple[int, ...]:
    return seat, number, begun, end, done, 0, 0


def test_who_is_stuck_gives_all_that_it_has_not_begun() -> None:
    balance = Balance()
    rows = [_row(0, 7, 3, 9, 2), _row(1, 8, 1, 5, 0)]
    assert balance.look(0.0, rows, 0) == []
    assert balance.look(STUCK / 2, rows, 0) == []
    assert balance.look(LATER, rows, 0) == [(0, 7, 0), (1, 8, 0)]


@pytest.mark.parametrize("change", ["item", "task"])
def test_who_goes_on_is_not_stuck(change: str) -> None:
    balance = Balance()
    for step in range(10):
        at = step if change == "item" else 1
        number = 7 if change == "item" else 7 + step
        row = _row(0, number, at + 1, 20, at)
        assert balance.look(step * LATER, [row], 0) == []


def test_who_was_away_begins_anew() -> None:
    balance = Balance()
    row = _row(0, 7, 3, 9, 2)
    balance.look(0.0, [row], 0)
    balance.look(LATER, [], 0)
    assert balance.look(2 * LATER, [row], 0) == []


def test_who_has_nothing_left_gives_nothing() -> None:
    balance = Balance()
    rows = [_row(0, 7, 9, 9, 8), _row(1, 8, 0, 1, 0), _row(2, 9, 6, 5, 5)]
    for now in (0.0, LATER, 2 * LATER):
        assert balance.look(now, rows, 5) == []


@pytest.mark.parametrize("first", [0, 3])
def test_who_loads_what_it_got_keeps_it_however_long_that_takes(first: int) -> None:
    # Else items that take long to load would be handed round for ever.
    balance = Balance()
    row = _row(0, 7, first, 9, first)
    for step in range(10):
        assert balance.look(step * LATER, [row], 3) == []


def test_the_idle_get_half_of_what_others_have_left() -> None:
    rows = [_row(0, 7, 3, 9, 2), _row(1, 8, 1, 2, 0), _row(2, 9, 1, 6, 0), _row(3, 5, 1, 9, 0)]
    assert Balance().look(0.0, rows, 0) == []
    assert Balance().look(0.0, rows, 1) == [(0, 7, 3)]
    assert Balance().look(0.0, rows, 2) == [(0, 7, 3), (2, 9, 2)]
    assert Balance().look(0.0, rows, 9) == [(0, 7, 3), (2, 9, 2), (3, 5, 4)]


_rows = st.tuples(st.integers(1, 3), st.integers(0, 6), st.integers(0, 6), st.integers(0, 6)).map(
    lambda row: (row[0], max(row[1], row[3]), row[2], row[3])
)


@given(
    looks=st.lists(
        st.tuples(st.integers(0, 40), st.lists(_rows, max_size=4), st.integers(0, 3)), max_size=20
    )
)
def test_whatever_it_sees_it_proposes_what_can_be_done(
    looks: list[tuple[int, list[tuple[int, int, int, int]], int]],
) -> None:
    balance, now = Balance(), 0.0
    for step, held, idle in looks:
        now += step / 1000
        rows = [_row(seat, *row) for seat, row in enumerate(held)]
        proposals = balance.look(now, rows, idle)
        assert len({seat for seat, *_ in proposals}) == len(proposals)
        for seat, number, keep in proposals:
            _, its, begun, end, done, *_ = rows[seat]
            assert number == its
            assert begun > done
            assert 0 <= keep < end - begun
        assert sum(keep > 0 for *_, keep in proposals) <= idle


# ---- what is made of that


def test_it_is_watched_while_a_record_of_several_items_is_under_way() -> None:
    engine = FakeEngine(workers=2)
    sharing = engine.sharing
    assert sharing.look([]) is None
    job = engine.start_map(range(4), 1)
    assert sharing.look(engine.seats()) is None
    engine.wait(job)
    job = engine.start_map(range(8), 4)
    assert sharing.look(engine.seats()) is not None
    engine.wait(job)
    assert sharing.look(engine.seats()) is None


def test_who_sends_several_items_has_them_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = FakeEngine(workers=2)
    woken: list[bool] = []
    monkeypatch.setattr(engine.supervisor, "wake", lambda: woken.append(True))
    engine.start_map(range(8), 4)
    assert woken == [True]
    engine.start_map(range(8), 4)
    assert woken == [True]


def test_what_is_taken_back_is_run_by_others(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("procession._engine.sharing.monotonic", lambda: now[0])
    engine = FakeEngine(workers=2)
    job = engine.start_map(range(12), 6, Options())
    for seat in (0, 1):
        engine.claim(seat=seat)
        engine.channel.begin(seat)
    sharing: Sharing = engine.sharing
    sharing.look(engine.seats())
    assert not engine.ring
    now[0] = LATER
    sharing.look(engine.seats())
    assert [(piece.start + piece.first, piece.end) for piece in engine.ring] == [(1, 6), (7, 6)]
    engine.channel.finish(1, 6)
    engine.run(seat=1)
    while engine.ring:
        engine.claim(seat=1)
        engine.run(seat=1)
    engine.channel.finish(0, 0)
    engine.run(seat=0)
    engine.collect()
    assert job.outcome() == (True, list(range(12)))


def test_the_idle_get_something_where_nothing_waits_in_the_ring() -> None:
    engine = FakeEngine(workers=2)
    engine.start_map(range(12), 12)
    engine.claim()
    engine.channel.begin(0)
    engine.sharing.look(engine.seats())
    assert [(piece.first, piece.end) for piece in engine.ring] == [(6, 12)]
    engine.sharing.look(engine.seats())  # that waits for the idle one
    assert [(piece.first, piece.end) for piece in engine.ring] == [(6, 12)]
