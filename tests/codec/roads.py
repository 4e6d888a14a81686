"""The ways that an object goes through the codec, and how often its bytes are copied meanwhile."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import Any, Self

from procession import _core
from procession._codec.buffers import dumps_answer, dumps_apart, dumps_task, loads_apart

Road = Callable[[Any], Any]


def as_argument(value: Any) -> Any:
    """To one worker, once."""
    return pickle.loads(dumps_task(value, once=True))


def as_shared_argument(value: Any) -> Any:
    """To a worker, and perhaps to another."""
    return pickle.loads(dumps_task(value, once=False))


def pinned(value: Any) -> Any:
    """To whoever gets the bytes, and nothing else."""
    return pickle.loads(bytes(dumps_apart(value, once=True, pinned=True)))


def as_result(value: Any) -> Any:
    """Back, in one block: laid out as the core does it."""
    answer = dumps_answer(value)
    if isinstance(answer, bytes):
        return pickle.loads(answer)
    return loads_apart(in_one_block(*answer))


def as_kept_result(value: Any) -> Any:
    """Back, while the arena is crowded: in this process's own memory."""
    answer = dumps_answer(value)
    if isinstance(answer, bytes):
        return pickle.loads(answer)
    return loads_apart(bytearray(memoryview(in_one_block(*answer))))


def in_one_block(body: bytes, parts: Sequence[memoryview]) -> _core.Memory:
    """A payload as its receiver has it."""
    head = len(body).to_bytes(8, "little")
    return _core.Memory.holding([head + body, *parts])


ROADS: dict[str, Road] = {
    "argument": as_argument,
    "shared argument": as_shared_argument,
    "pinned": pinned,
    "result": as_result,
    "kept result": as_kept_result,
}


class Copies(_core.Memory):
    """Memory that counts what is copied to it. See the fixture `copied`."""

    sizes: list[int]

    @classmethod
    def holding(cls, parts: Any, /, *, wait: bool = True, results: bool = False) -> Self:
        cls.sizes += [memoryview(part).nbytes for part in parts]
        return super().holding(parts, wait=wait, results=results)
