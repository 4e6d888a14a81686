"""What the workers are given to do with arrays."""

from __future__ import annotations

from typing import Any

import numpy as np


def total(array: Any) -> float:
    """Read all of it."""
    return float(array.sum())


def touch(array: Any) -> float:
    """Read one element of it."""
    return float(array[array.size // 2])


def fill(wish: tuple[int, int]) -> Any:
    """An array of floats, made of a value and a length."""
    value, length = wish
    return np.full(length, float(value))


def total_of_part(array: Any, number: int, parts: int) -> float:
    """Read one of so many parts of equal size."""
    array = opened(array)
    size = array.size // parts
    return float(array[number * size : (number + 1) * size].sum())


def touch_part(array: Any, number: int, parts: int) -> float:
    """Read one element of one of so many parts."""
    array = opened(array)
    return float(array[number * (array.size // parts)])


def opened(array: Any) -> Any:
    """The array itself, where the task was given something that leads to it."""
    find = getattr(array, "find", None)
    return array if find is None else find()
