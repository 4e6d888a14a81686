"""Where the tasks of a pool run: what ``backend=`` of ``Pool`` and ``Executor`` can be.

A backend is opened by each pool that is made with it, and let go of at that pool's end. See the
how-to about backends for what each can do.
"""

from __future__ import annotations

from concurrent.futures import Executor
from typing import Any

from procession._backends.opening import Choice, named, of_executor

__all__ = ["dask", "executor", "ray", "threads"]


def threads(workers: int | None = None) -> Choice:
    """Threads of this process: arguments and results are handed over as they are.

    Args:
        workers: how many; None for what the pool is asked for, else as many as this process may
            use CPUs.
    """
    return named("threads", workers=workers)


def executor(executor: Executor, workers: int | None = None) -> Choice:
    """Somebody's ``concurrent.futures.Executor``, which is not shut down at the pool's end.

    Args:
        executor: one that can run functions that are importable by their names.
        workers: how many tasks it runs at the same time; None to ask it.

    Raises:
        TypeError: it is no executor.
    """
    return of_executor(executor, workers)


def ray(**options: Any) -> Choice:
    """Tasks of a Ray cluster; see the how-to about Ray for the options.

    Raises:
        ModuleNotFoundError: Ray is not installed.
    """
    return named("ray", **options)


def dask(**options: Any) -> Choice:
    """Tasks of a Dask cluster; see the how-to about Dask for the options.

    Raises:
        ModuleNotFoundError: Dask's ``distributed`` is not installed.
    """
    return named("dask", **options)
