"""Where things lie, and what the processes of these tests do with them: importable, to be spawned.

A *place* is what Memory it is, and how far behind its begin: the same in all processes if, and only
if, they look at the very same bytes.
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import procession
from procession._core import Memory

Array = np.ndarray[Any, Any]


def place(value: Any) -> tuple[Any, int] | None:
    """Where the bytes of an array, or of a view, lie; None: in no frozen memory."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "mM":  # it has no buffer by itself
        value = value.view("i8")
    found = Memory.at(value)
    return None if found is None else (found[0]._name(), found[1])


def shared_blocks() -> int:
    """How many blocks of shared things there are in the family, but for those that only a cycle
    keeps: the frames of an exception that was caught."""
    gc.collect()
    return procession.memory().kinds["shared"].blocks


def refuses_writes(array: Array) -> bool:
    """Whether there is no way to write to it."""
    try:
        array[...] = 0
    except ValueError:
        try:
            array.flags.writeable = True
        except ValueError:
            return True
    return False


def look(array: Array) -> tuple[Any, bool, int]:
    """Where it lies, whether it is protected, and what is in it."""
    return place(array), refuses_writes(array), int(array.sum())


def describe(array: Array) -> tuple[Any, bool, str, str]:
    """Where it lies, whether it is protected, and what it is."""
    kind = f"{type(array).__name__} {array.shape} {array.strides} {array.dtype!r}"
    return place(np.asarray(array)), refuses_writes(array), kind, repr(array.flat[-1])


def look_into(nested: dict[str, Any]) -> list[Any]:
    """The places of what is in a container."""
    return [place(nested["arrays"][0]), place(nested["arrays"][1][0]), place(nested["bytes"])]


def put_look(array: Array, answers: Any) -> None:
    """Look, and put what was seen into a queue."""
    answers.put(look(array))


def look_at_next(questions: Any, answers: Any) -> None:
    """Take an array out of a queue and put what was seen into another."""
    answers.put(look(questions.get()))


def look_at_received(pipe: Any) -> None:
    """Receive an array; send what was seen."""
    pipe.send(look(pipe.recv()))


def anonymous_kib() -> int:
    """How much memory this process has for itself alone."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    raise LookupError("no RssAnon")


def read_all(array: Array) -> tuple[float, int, int]:
    """Read each byte: the sum, and how much this process's own and the family's memory grew."""
    own, family = anonymous_kib(), procession.memory().in_use
    total = float(array.sum())
    return total, anonymous_kib() - own, procession.memory().in_use - family


def share_new(count: int) -> Array:
    """Share an array from here."""
    return procession.share(np.arange(count))


def share_and_hold(count: int, pipe: Any) -> None:
    """Share an array, send it, and stay."""
    array = procession.share(np.arange(count))
    pipe.send(array)
    signal.pause()
    del array


def hold(array: Array, pipe: Any) -> None:
    """Tell that it has come, and stay."""
    pipe.send(place(array))
    signal.pause()


def hold_in_task(array: Array, begun: Any) -> None:
    """Tell by a queue that it has come, and stay."""
    begun.put(place(array))
    signal.pause()


def call(function: Callable[[], Any], answers: Any) -> None:
    """Put what a function returns."""
    answers.put(function())


def die(array: Array) -> None:
    """Be killed with an array in hand."""
    os.kill(os.getpid(), signal.SIGKILL)
