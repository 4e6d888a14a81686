"""What is concluded from numbers; nothing is measured here."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from procession._compare.comparing import Ways, conclude
from procession._compare.laps import Lap, total
from procession._compare.report import Comparison
from procession._compare.running import Run
from procession._compare.sampling import Pickling, Sample
from procession._compare.verdict import WORTH, Cost, decide, gil_share, pays_from

SECONDS = st.floats(1e-9, 1e3)
COSTS = st.builds(Cost, SECONDS, st.floats(0.0, 10.0), st.none() | st.just("it can not be pickled"))
SERIAL = SECONDS.map(Cost)
ITEMS = st.none() | st.integers(1, 10**9)


@given(SERIAL, COSTS, COSTS, ITEMS)
def test_what_is_advised_is_possible_and_faster(
    serial: Cost, threads: Cost, processes: Cost, items: int | None
) -> None:
    verdict = decide(serial, threads, processes, items)
    ways = {"serial": serial, "threads": threads, "processes": processes}
    used = ways[verdict.use]
    assert used.failure is None
    if verdict.use == "serial":
        assert verdict.speedup == 1.0
    else:
        assert verdict.speedup >= WORTH * (1 - 1e-9)
        assert used.of(items) * verdict.speedup <= serial.of(items) * (1 + 1e-9)


@given(SERIAL, COSTS, COSTS, ITEMS)
def test_nothing_that_is_left_is_much_faster(
    serial: Cost, threads: Cost, processes: Cost, items: int | None
) -> None:
    verdict = decide(serial, threads, processes, items)
    taken = serial.of(items) / verdict.speedup
    for other in (serial, threads, processes):
        if other.failure is None:
            assert other.of(items) * WORTH >= taken * (1 - 1e-6)


@given(SERIAL, COSTS, COSTS, ITEMS, st.floats(1.0, 100.0))
def test_what_becomes_slower_is_not_preferred_for_that(
    serial: Cost, threads: Cost, processes: Cost, items: int | None, times: float
) -> None:
    before = decide(serial, threads, processes, items)
    slower = processes._replace(item=processes.item * times, start=processes.start * times)
    if before.use != "processes":
        assert decide(serial, threads, slower, items).use == before.use


@given(SERIAL, COSTS, COSTS, ITEMS, st.sampled_from([2.0**-10, 2.0**-3, 2.0, 2.0**10]))
def test_another_unit_of_time_changes_nothing(
    serial: Cost, threads: Cost, processes: Cost, items: int | None, unit: float
) -> None:
    def scaled(cost: Cost) -> Cost:
        return cost._replace(item=cost.item * unit, start=cost.start * unit)

    assert decide(scaled(serial), scaled(threads), scaled(processes), items) == decide(
        serial, threads, processes, items
    )


@given(SERIAL, COSTS)
def test_from_that_many_items_on_it_pays(serial: Cost, other: Cost) -> None:
    least = pays_from(serial, other)
    if least is None:
        assert other.failure is not None or other.item >= serial.item or least is None
    else:
        more = least + 1 + least // 1000  # but for rounding
        assert other.of(more) <= serial.of(more) * (1 + 1e-9)


def test_the_share_of_the_gil() -> None:
    assert gil_share(0.0, 1.0, 2) == 0.0
    assert gil_share(1.0, 1.0, 2) == 1.0  # two threads, and each waits for the other
    assert gil_share(3.0, 1.0, 4) == 1.0
    assert gil_share(0.0, 0.0, 2) == 0.0
    assert gil_share(5.0, 1.0, 1) == 0.0  # whom should it wait for


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.integers(1, 100))
def test_a_share_is_a_share(waited: float, cpu: float, workers: int) -> None:
    assert 0.0 <= gil_share(waited, cpu, workers) <= 1.0


def test_laps_add_up() -> None:
    first, second = Lap(2, 1.0, 0.5, 0.25), Lap(3, 2.0, 1.0, 0.0, 1, "ValueError: no")
    assert total([first, second]) == Lap(5, 3.0, 1.5, 0.25, 1, "ValueError: no")
    assert total([]) == Lap(0, 0.0, 0.0, 0.0)
    assert first.idle == 0.25
    assert Lap(1, 1.0, 0.9, 0.5).idle == 0.0


# ---- functions as they are found, on two CPUs; all numbers are made up

ITEMS_HERE = 100


def _concluded(
    serial: Lap, threads: Run, processes: Run | None, pickling: Pickling, known: int | None = None
) -> Comparison:
    sample = Sample([None] * ITEMS_HERE, [None] * ITEMS_HERE, serial, is_whole=False)
    return conclude("work", known, Ways(2, sample, pickling, threads, processes))


def _lap(wall: float, cpu: float, kept_waiting: float = 0.0) -> Lap:
    return Lap(ITEMS_HERE, wall, cpu, kept_waiting)


SMALL = Pickling(1e-6, 10, 10)


def _python(disturbed: float = 0.0, known: int | None = None) -> Comparison:
    """Ten milliseconds of Python code; ``disturbed``: for each second others take so many."""
    lost = disturbed
    return _concluded(
        _lap(1.0 + lost, 1.0, lost),
        Run(0.001, 1.0 + lost, 0.0, _lap(2.0 + 2 * lost, 1.0, lost)),
        Run(0.05, (1.0 + lost) / 2, 0.0, _lap(1.0 + lost, 1.0, lost), 0.001),
        SMALL,
        known,
    )


def test_python_code_is_for_processes() -> None:
    found = _python()
    assert (found.use, round(found.speedup, 2)) == ("processes", 2.0)
    assert found.threads.gil_share == 1.0
    assert found.threads.speedup == 1.0
    assert "threads: 1.0x: your function holds the GIL for 100% of its time" in found.reasons


def test_what_other_programs_take_is_counted_out() -> None:
    calm, disturbed = _python(), _python(3.0)
    assert disturbed.use == calm.use
    assert round(disturbed.speedup, 2) == round(calm.speedup, 2)
    assert disturbed.threads.gil == calm.threads.gil
    assert any("other programs had the CPUs" in reason for reason in disturbed.reasons)


def test_few_items_are_not_worth_a_start() -> None:
    assert _python(known=5).use == "serial"
    assert _python(known=1000).use == "processes"
    assert "to start the processes took 50 ms: they pay from 11 items on" in _python().reasons


def test_waiting_is_for_threads() -> None:
    waiting = _lap(1.0, 0.01)
    found = _concluded(
        waiting, Run(0.001, 0.5, 0.0, waiting), Run(0.05, 0.5, 0.0, waiting, 0.001), SMALL
    )
    assert found.use == "threads"
    assert round(found.serial.idle, 4) == 0.0099
    assert any("try up to 32 of them" in reason for reason in found.reasons)


def test_code_without_the_gil_is_for_threads() -> None:
    busy = _lap(1.0, 1.0)
    copied = Pickling(0.004, 8e6, 8e6)
    found = _concluded(busy, Run(0.001, 0.5, 0.0, busy), Run(0.05, 0.75, 0.0, busy, 0.001), copied)
    assert found.use == "threads"
    assert found.threads.gil_share == 0.0
    assert found.processes.pickling == 0.004
    assert any("8 MB there and 8 MB back" in reason for reason in found.reasons)


def test_the_trivial_is_for_nobody() -> None:
    tiny = _lap(1e-5, 1e-5)
    found = _concluded(
        tiny, Run(0.001, 2e-5, 0.0, _lap(4e-5, 1e-5)), Run(0.05, 3e-4, 0.0, tiny, 5e-5), SMALL
    )
    assert found.use == "serial"
    assert any("have one call do many items" in reason for reason in found.reasons)
    assert str(found).splitlines()[0] == "work, measured with 100 items: use serial"


def test_where_processes_can_not() -> None:
    busy = _lap(1.0, 1.0)
    no = Pickling(failure="the function can not be pickled: no")
    found = _concluded(busy, Run(0.0, 1.0, 0.0, _lap(2.0, 1.0)), None, no)
    assert found.use == "serial"
    assert found.processes.failure == "the function can not be pickled: no"
    assert "processes: the function can not be pickled: no" in found.reasons
    assert "speed" in str(found)


def test_the_times_of_the_workers_add_up() -> None:
    found = _python()
    for way in (found.threads, found.processes):
        parts = way.compute + way.idle + way.gil + way.pickling + way.transport + way.rest
        assert abs(parts - way.seconds_an_item * found.workers) < 1e-9
