"""Serial, threads and processes, one after the other, on the same items."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sized
from typing import Any, NamedTuple

from procession._compare.laps import Lap, total
from procession._compare.report import Comparison, WayReport
from procession._compare.running import Run, through_processes, through_threads
from procession._compare.sampling import Pickling, Sample, measure_pickling, take_sample
from procession._compare.verdict import decide, gil_share, ratio
from procession._engine.checking import check_timeout, worker_count
from procession._engine.entries import function_name
from procession._launch.cpus import cpu_count

_FEW = "Number of workers must be at least 2"


def compare(
    function: Callable[[Any], Any],
    items: Iterable[Any],
    *,
    workers: int | None = None,
    seconds: float = 2.0,
) -> Comparison:
    """Measure what is fastest for ``[function(item) for item in items]``: serial, threads or
    processes; and where the time goes.

    The function is really called, several times with each item of a sample: in this thread, in
    threads, and in processes. What it does to files, servers or globals it does.

    Args:
        items: they are taken one by one, as many as there is time for; the first is called most.
        workers: how many threads or processes; None for as many as this process may use CPUs, and
            at least 2.
        seconds: how long it may take in all, about. A call that has begun is not cut short.

    Raises:
        ValueError: there are no items; fewer than two workers; `seconds` are less than none, or
            without end.
        TypeError: `function` can not be called.
        Exception: what the function raises, if it does so for every item.
    """
    if not callable(function):
        raise TypeError(f"the function must be callable, not {function!r}")
    check_timeout(seconds)
    if not 0 <= seconds < math.inf:
        raise ValueError(f"seconds must be a number from 0 on, not {seconds}")
    count = max(2, cpu_count()) if workers is None else worker_count("workers", workers, _FEW)
    if count < 2:
        raise ValueError(_FEW)
    known = len(items) if isinstance(items, Sized) else None
    sample = take_sample(function, items, seconds / 4)
    pickling = measure_pickling(function, sample, seconds / 8)
    repeated = _for_all(sample.items, count)
    threaded = through_threads(function, repeated, count)
    parallel, failure = None, pickling.failure
    if failure is None:
        try:
            parallel = through_processes(function, repeated, count)
        except Exception as error:
            failure = f"they can not run it: {type(error).__name__}: {error}"
    ways = Ways(count, sample, pickling._replace(failure=failure), threaded, parallel)
    return conclude(function_name(function), known, ways)


def _for_all(items: list[Any], workers: int) -> list[Any]:
    """As many for each worker, where they are few; and at least one."""
    if len(items) < workers:
        items = items * workers
    return items[: len(items) // workers * workers] if len(items) < 8 * workers else items


class Ways(NamedTuple):
    """What was measured.

    Attributes:
        pickling: its failure is also what else keeps processes from running it.
        processes: None if they can not.
    """

    workers: int
    sample: Sample
    pickling: Pickling
    threads: Run
    processes: Run | None


def conclude(name: str, known: int | None, ways: Ways) -> Comparison:
    """What the numbers say. Pure.

    Args:
        name: of the function.
        known: how many items there are; None if that is not known.
    """
    workers, sample, pickling, threaded, parallel = ways
    items = len(sample.items) if sample.is_whole else known
    serial = _serial(sample.lap)
    threads = _threads(threaded, serial, workers)
    processes = WayReport(failure=pickling.failure)
    laps = [sample.lap, threaded.lap]
    if parallel is not None:
        processes = _processes(parallel, serial, pickling, workers)
        laps.append(parallel.lap)
    verdict = decide(serial.cost, threads.cost, processes.cost, items)
    lap = total(laps)
    return Comparison(
        name=name,
        use=verdict.use,
        speedup=verdict.speedup,
        workers=workers,
        items=items,
        sampled=len(sample.items),
        serial=serial,
        threads=threads,
        processes=processes,
        argument_bytes=pickling.argument_bytes,
        result_bytes=pickling.result_bytes,
        disturbed=lap.kept_waiting / lap.wall if lap.wall > 0 else 0.0,
        error=sample.lap.error,
    )


def _serial(lap: Lap) -> WayReport:
    return WayReport(
        seconds_an_item=max(0.0, lap.wall - lap.kept_waiting) / lap.items,
        speedup=1.0,
        compute=lap.cpu / lap.items,
        idle=lap.idle / lap.items,
        failed=lap.failed,
    )


def _threads(run: Run, serial: WayReport, workers: int) -> WayReport:
    lap = run.lap
    compute = lap.cpu / lap.items
    idle = min(serial.idle, lap.idle / lap.items)
    gil = lap.idle / lap.items - idle  # what it waits for beside that
    # Who holds the GIL and is kept waiting by other programs, keeps all others waiting, too.
    calm = gil * lap.cpu / (lap.cpu + lap.kept_waiting) if gil else 0.0
    lost = lap.kept_waiting / lap.items + gil - calm
    gil = calm
    each = max((compute + idle + gil) / workers, run.seconds / lap.items - lost / workers)
    return WayReport(
        seconds_an_item=each,
        speedup=ratio(serial.seconds_an_item, each),
        start=run.start,
        compute=compute,
        idle=idle,
        gil=gil,
        gil_share=gil_share(gil, compute, workers),
        rest=max(0.0, each * workers - compute - idle - gil),
        failed=lap.failed,
    )


def _processes(run: Run, serial: WayReport, pickling: Pickling, workers: int) -> WayReport:
    lap = run.lap
    compute, idle = lap.cpu / lap.items, lap.idle / lap.items
    # Half of the pickling is done by one thread, the other half by the workers.
    least = (compute + idle + pickling.seconds / 2) / workers + pickling.seconds / 2
    kept_waiting = lap.kept_waiting / workers + run.kept_waiting
    measured = run.seconds / lap.items
    each = min(measured, max(least, measured - kept_waiting / lap.items))
    left = max(0.0, each * workers - compute - idle)
    pickled = min(pickling.seconds, left)
    transport = min(run.transport * workers / lap.items, left - pickled)
    return WayReport(
        seconds_an_item=each,
        speedup=ratio(serial.seconds_an_item, each),
        start=run.start,
        compute=compute,
        idle=idle,
        pickling=pickled,
        transport=transport,
        rest=left - pickled - transport,
        failed=lap.failed,
    )
