"""What is run by Dask's scheduler: a task of ours is begun once, and our retries decide the rest.

Dask begins a task anew whose worker died, three times unless it is configured otherwise, and also
one whose result was lost with a worker before anybody had fetched it. That is right for functions
without side effects; ours are only run again with leave. For the tasks of others nothing changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any

MARK = "procession"
"""The beginning of our tasks' keys, and the plugin's name."""


class Once:
    """A plugin of the scheduler: one death is enough for a task of ours."""

    def update_graph(self, scheduler: Any, *, tasks: Iterable[Any], **_: Any) -> None:
        """New tasks: they have had all the failures that they are allowed."""
        for key in tasks:
            task = scheduler.tasks.get(key) if is_ours(key) else None
            if task is not None:
                task.suspicious = scheduler.allowed_failures

    def transition(self, key: Any, start: str, finish: str, **more: Any) -> None:
        """A task has ended: without its call it can not be begun again, only be lost."""
        if finish == "memory" and is_ours(key):
            task = self.scheduler.tasks.get(key)
            if task is not None:
                task.run_spec = None

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler


def is_ours(key: Any) -> bool:
    """Whether a task is one of ours."""
    return isinstance(key, str) and key.startswith(MARK + "-")


def attend(
    workers: Sequence[str] | None, resources: Mapping[str, float], *, dask_scheduler: Any
) -> int:
    """Have the plugin in place, and count.

    Args:
        workers: addresses, names or hosts of those that may run our tasks; None: all.
        resources: what one task takes of those that the workers declare.
        dask_scheduler: the scheduler, given by Dask.

    Returns:
        How many of our tasks can run at the same time.
    """
    if MARK not in dask_scheduler.plugins:
        plugin = import_module("distributed").SchedulerPlugin
        # Dask wants one of its own kind, which this module must not depend on.
        kind = type(Once.__name__, (Once, plugin), {})
        dask_scheduler.add_plugin(kind(dask_scheduler), name=MARK, idempotent=True)
    return sum(
        places(worker, resources)
        for worker in dask_scheduler.workers.values()
        if workers is None
        or not {worker.address, str(worker.name), worker.host}.isdisjoint(workers)
    )


def places(worker: Any, resources: Mapping[str, float]) -> int:
    """How many tasks a worker runs at the same time."""
    rooms = [int(worker.resources.get(name, 0) // takes) for name, takes in resources.items()]
    return min([int(worker.nthreads), *rooms])
