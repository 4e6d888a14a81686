"""``procession.compare`` on real functions. What depends on how busy the machine is is not judged
here, but in the tests of the verdict."""

from __future__ import annotations

import itertools
import json
import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import procession
from procession._compare.laps import Clock, run_lap
from procession._compare.sampling import measure_pickling, take_sample
from procession._compare.verdict import WORTH

BRIEF = 0.4  # seconds


def _loop(limit: int) -> int:
    return sum(number * number % 7 for number in range(limit))


def _sleep(seconds: float) -> None:
    time.sleep(seconds)


def _increment(x: int) -> int:
    return x + 1


def _refuse_odd(x: int) -> int:
    if x % 2:
        raise LookupError(x)
    return x


def _generator(x: int) -> Iterator[int]:
    return (number for number in range(x))


def _die_elsewhere(pid: int) -> None:
    if os.getpid() != pid:
        os.kill(os.getpid(), signal.SIGKILL)


def test_python_code() -> None:
    found = procession.compare(_loop, itertools.repeat(3000), seconds=1.0)
    assert (found.name, found.items) == ("_loop", None)
    assert found.serial.idle <= found.serial.compute
    assert found.processes.failure is None
    # What is worth it depends on who else has the CPUs; what is not is not advised.
    assert found.use == "serial" or found.speedup >= WORTH


def test_waiting_is_for_threads() -> None:
    found = procession.compare(_sleep, [0.01] * 1000, seconds=BRIEF)
    assert found.use != "serial"
    assert found.threads.speedup > 1.25
    assert found.serial.idle > found.serial.compute
    assert found.items == 1000


def test_the_trivial_is_serial() -> None:
    found = procession.compare(_increment, range(100_000), seconds=BRIEF)
    assert found.use == "serial"
    assert found.processes.pickling > 0
    assert found.argument_bytes > 0


def test_arrays_are_weighed() -> None:
    numpy = pytest.importorskip("numpy")
    found = procession.compare(numpy.negative, [numpy.ones(250_000)] * 20, seconds=BRIEF)
    assert 2_000_000 <= found.argument_bytes < 2_010_000
    assert 2_000_000 <= found.result_bytes < 2_010_000
    assert found.processes.failure is None


def test_some_items_fail() -> None:
    found = procession.compare(_refuse_odd, range(10), seconds=BRIEF)
    assert found.serial.failed == 5
    assert found.error == "LookupError: 1"
    assert "5 of 10 items raised: LookupError: 1" in str(found)


def test_all_items_fail() -> None:
    with pytest.raises(LookupError, match="1"):
        procession.compare(_refuse_odd, [1, 3, 5], seconds=BRIEF)


def test_results_that_can_not_be_pickled() -> None:
    found = procession.compare(_generator, [3, 4, 5], seconds=BRIEF)
    assert found.use != "processes"
    assert "a result can not be pickled" in str(found.processes.failure)


def test_items_and_functions_that_can_not_be_pickled() -> None:
    locks = [threading.Lock()] * 3
    assert "an item can not be" in str(procession.compare(id, locks, seconds=BRIEF))
    lock = threading.Lock()
    found = procession.compare(lambda x: (lock, x)[1], [1, 2], seconds=BRIEF)
    assert "the function can not be pickled" in str(found)


def test_a_function_that_kills_its_process() -> None:
    found = procession.compare(_die_elsewhere, [os.getpid()] * 4, seconds=BRIEF)
    assert found.use != "processes"
    assert "WorkerDied" in str(found.processes.failure)


def test_one_item() -> None:
    found = procession.compare(_sleep, [0.001], seconds=BRIEF)
    assert (found.items, found.sampled) == (1, 1)


def test_an_endless_input_is_taken_as_far_as_there_is_time() -> None:
    pulled = itertools.count()
    found = procession.compare(_increment, pulled, seconds=BRIEF)
    assert found.items is None
    assert next(pulled) == found.sampled


def test_the_report_as_data() -> None:
    found = procession.compare(_increment, range(10), seconds=BRIEF)
    data = json.loads(json.dumps(found.to_dict()))
    assert data["use"] == found.use
    assert data["serial"]["speedup"] == 1.0
    assert data["reasons"] == found.reasons
    for way in ("serial", "threads", "processes"):
        assert {"compute", "idle", "gil", "pickling", "transport", "start"} <= data[way].keys()


@pytest.mark.parametrize(
    ("arguments", "words", "error", "message"),
    [
        ((_increment, []), {}, ValueError, "no items"),
        ((5, [1]), {}, TypeError, "must be callable, not 5"),
        ((_increment, 5), {}, TypeError, "not iterable"),
        ((_increment, [1]), {"workers": 1}, ValueError, "at least 2"),
        ((_increment, [1]), {"seconds": -1}, ValueError, "from 0 on, not -1"),
        ((_increment, [1]), {"seconds": math.nan}, ValueError, "from 0 on, not nan"),
        ((_increment, [1]), {"workers": "2"}, TypeError, "workers must be"),
        ((_increment, [1]), {"seconds": "long"}, TypeError, "number of seconds"),
    ],
)
def test_bad_input(arguments: Any, words: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        procession.compare(*arguments, **words)


# ---- its parts


def test_a_sample_is_pulled_once_and_in_order(tmp_path: Path) -> None:
    seen: list[int] = []
    sample = take_sample(seen.append, iter(range(7)), 60.0)
    assert sample.items == list(range(7))
    assert seen == [0, *range(7)]  # the first one warms up
    assert sample.is_whole
    assert sample.lap.items == 7


def test_a_lap_goes_on_behind_an_error() -> None:
    lap, results = run_lap(_refuse_odd, [0, 1, 2, 3])
    assert results == [0, None, 2, None]
    assert (lap.items, lap.failed, lap.error) == (4, 2, "LookupError: 1")


def test_a_clock_knows_computing_from_waiting() -> None:
    with Clock() as waiting:
        time.sleep(0.05)
    with Clock() as computing:
        _loop(20_000)
    assert waiting.wall >= 0.05
    assert waiting.cpu < 0.02
    assert 0 < computing.cpu <= computing.wall
    for clock in (waiting, computing):
        assert 0 <= clock.kept_waiting <= clock.wall


def test_pickling_is_measured_on_the_results_too() -> None:
    sample = take_sample(bytes, [1000] * 3, 0.01)
    pickling = measure_pickling(bytes, sample, 1.0)
    assert pickling.failure is None
    assert pickling.argument_bytes < 20
    assert 1000 < pickling.result_bytes < 1100
    assert pickling.seconds > 0
