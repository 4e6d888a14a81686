"""What the tests have done by workers: functions that a worker finds by their names."""

from __future__ import annotations

import os
import signal
import time
import warnings
from pathlib import Path
from typing import Any

import joblib
import numpy as np

Array = np.ndarray[Any, Any]


def square(x: int) -> int:
    return x * x


def pid(_: object = None) -> int:
    return os.getpid()


def fail_at(bad: int, x: int) -> int:
    if x == bad:
        raise KeyError(x)
    return x


def die_at(bad: int, x: int) -> int:
    if x == bad:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def die_once(path: str, x: int) -> int:
    """The first call with this path ends its process."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return x
    os.kill(os.getpid(), signal.SIGKILL)
    return -1


def say_and_sleep(folder: str, x: int) -> int:
    """Leaves a file that says it has begun, and does not end by itself."""
    (Path(folder) / f"begun-{x}-{os.getpid()}").touch()
    time.sleep(3600)
    return x


def fail_when_others_run(folder: str, others: int, x: int) -> int:
    """The first fails once the `others` have begun; these do not end by themselves."""
    if x:
        return say_and_sleep(folder, x)
    while len(list(Path(folder).glob("begun-*"))) < others:
        time.sleep(0.001)
    raise ValueError("the first has failed")


def wait_for(path: str, x: int) -> int:
    while not Path(path).exists():
        time.sleep(0.001)
    return x


def threads_allowed(_: object = None) -> str | None:
    return os.environ.get("OMP_NUM_THREADS")


def variable(name: str) -> str | None:
    return os.environ.get(name)


def nested(n: int) -> tuple[str, int, list[int]]:
    """The backend that a nested call gets, its level, and what the call returns."""
    backend, _ = joblib.parallel.get_active_backend()
    found = joblib.Parallel(n_jobs=2)(joblib.delayed(square)(i) for i in range(n))
    return type(backend).__name__, backend.nesting_level, found


def jobs_of_a_worker(n_jobs: int) -> tuple[int, list[type]]:
    """How many jobs a call in a worker may have, and what is said of that."""
    with (
        warnings.catch_warnings(record=True) as said,
        joblib.parallel_config(backend="procession"),
    ):
        warnings.simplefilter("always")
        return joblib.effective_n_jobs(n_jobs), [warning.category for warning in said]


def nested_twice(n: int) -> list[tuple[str, int, list[int]]]:
    found: list[tuple[str, int, list[int]]] = joblib.Parallel(n_jobs=2)(
        joblib.delayed(nested)(n) for _ in range(2)
    )
    return found


def nested_by_name(n: int) -> list[int]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says so
        found: list[int] = joblib.Parallel(n_jobs=2, backend="procession")(
            joblib.delayed(pid)() for _ in range(n)
        )
    return [os.getpid(), *found]


def sum_row(input_: Array, output: Array, i: int) -> None:
    """Of joblib's example of results in shared memory."""
    output[i] = input_[i, :].sum()


def describe(array: Array) -> tuple[str, bool, float]:
    return type(array).__name__, bool(array.flags.writeable), float(array.sum())


def write_to(array: Array, value: float) -> tuple[float, float]:
    """What is there before, and after, the task writes."""
    before = float(array[0])
    array[0] = value
    return before, float(array[0])


def private_memory(array: Array) -> tuple[int, float]:
    """By how many bytes this process's own memory grows when it reads an array."""
    before = _private()
    total = float(array.sum())
    return _private() - before, total


def _private() -> int:
    text = Path("/proc/self/smaps_rollup").read_text()
    fields = dict(line.split(":", 1) for line in text.splitlines()[1:])
    own = int(fields["Private_Clean"].split()[0]) + int(fields["Private_Dirty"].split()[0])
    return own * 1024
