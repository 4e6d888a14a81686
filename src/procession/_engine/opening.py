"""What the doors have in common when they open: what was asked for is checked, and agreed upon."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Literal, TypedDict, Unpack

from procession._engine.hiring import Terms
from procession._engine.options import NAMES
from procession._launch import methods
from procession._launch.surroundings import Surroundings, whole

_SURROUNDINGS = ("env", "cwd", "nice", "cpus", "threads", "seed")


class WorkerWords(TypedDict, total=False):
    """What a pool's workers are to be like, as keywords; see ``Pool``."""

    env: Mapping[str, str | None] | None
    cwd: str | os.PathLike[str] | None
    nice: int | None
    cpus: Iterable[int] | str | None
    threads: int | str | None
    seed: int | None
    finalizer: Callable[[], object] | None
    memory: int | None
    max_memory: int | None
    max_age: float | None
    idle_timeout: float | None
    output: Literal["plain", "tagged"]
    logs: int | str | None


def split_words(words: dict[str, Any]) -> tuple[WorkerWords, dict[str, Any]]:
    """Part a door's keywords: those about the workers, and those that are options of calls.

    Raises:
        TypeError: one is neither.
    """
    about_workers = WorkerWords.__annotations__
    unknown = sorted(words.keys() - about_workers - set(NAMES))
    if unknown:
        known = ", ".join(sorted({*about_workers, *NAMES}))
        raise TypeError(f"no such option: {', '.join(unknown)}; there are {known}")
    workers: Any = {name: words[name] for name in words if name in about_workers}
    return workers, {name: words[name] for name in words if name not in about_workers}


def agree_terms(
    launch_worker: Callable[..., object],
    context: Any,
    initializer: Callable[..., object] | None,
    initargs: Iterable[Any],
    max_tasks: int | None,
    **words: Unpack[WorkerWords],
) -> Terms:
    """The terms on which an engine starts its workers; see ``Pool`` for what they mean.

    Args:
        launch_worker: ``pool_worker.launch_worker``.
        context: a context object, for its start method; None for the one in force.

    Raises:
        ValueError: surroundings that can not be, or limits that nobody can keep.
        TypeError: an initializer that can not be called, or a wrong type.
    """
    if initializer is not None and not callable(initializer):
        raise TypeError("initializer must be a callable")
    finalizer = words.get("finalizer")
    if finalizer is not None and not callable(finalizer):
        raise TypeError("finalizer must be a callable without arguments")
    output = words.get("output", "plain")
    if output not in ("plain", "tagged"):
        raise ValueError(f'output must be "plain" or "tagged", not {output!r}')
    memory = _bytes("memory", words.get("memory"))
    max_memory = _bytes("max_memory", words.get("max_memory"))
    method = methods.settle() if context is None else context.get_start_method()
    around: dict[str, Any] = {name: words.get(name) for name in _SURROUNDINGS}
    return Terms(
        initializer=initializer,
        initargs=tuple(initargs),
        finalizer=finalizer,
        max_tasks=max_tasks,
        memory=memory,
        max_memory=max_memory,
        max_age=_seconds("max_age", words.get("max_age")),
        idle_timeout=_seconds("idle_timeout", words.get("idle_timeout")),
        output=output,
        logs=_level(words.get("logs")),
        surroundings=Surroundings.checked(**around),
        launch=partial(launch_worker, method=method),
    )


def _bytes(name: str, value: int | None) -> int | None:
    if value is not None and not 0 < whole(name, value, "of bytes or None") < 1 << 64:
        raise ValueError(f"{name} must be a number of bytes, 1 to 2**64 - 1, not {value!r}")
    return value


def _seconds(name: str, value: float | None) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds or None, not {value!r}")
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be a positive number of seconds, not {value!r}")
    return value


def _level(value: int | str | None) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    known = logging.getLevelNamesMapping()
    if value not in known:
        raise ValueError(f"logs must be a level of the logging module or None, not {value!r}")
    return known[value]
