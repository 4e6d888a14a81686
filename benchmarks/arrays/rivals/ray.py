"""Ray on this machine alone. Arrays go into its object store; arguments larger than 100 kB too."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

import ray

from benchmarks.arrays.carrier import ArrayRival


class Rival(ArrayRival):
    title = "Ray"
    distribution = "ray"

    def __init__(self) -> None:
        self.remote = cache(ray.remote)

    @classmethod
    def open(cls, workers: int) -> Rival:
        ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False)
        return cls()

    def close(self) -> None:
        ray.shutdown()

    def map_each(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Iterable[Any]:
        return self.call_each(function, [(item,) for item in items])

    def call_each(
        self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]
    ) -> list[Any]:
        submit = self.remote(function).remote
        results: list[Any] = ray.get([submit(*each) for each in arguments])
        return results

    def shared(self, array: Any) -> Any:
        return ray.put(array)
