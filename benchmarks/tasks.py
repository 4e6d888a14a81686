"""What the workers are given to do: next to nothing, so that the way there and back is measured;
or, where the sharing out is measured, a given time."""

from __future__ import annotations

from time import perf_counter_ns, sleep


def noop(value: int) -> int:
    """Give back what was given."""
    return value


def square(value: int) -> int:
    """The classic example of a map."""
    return value * value


AWAKE = 200
"""Microseconds that a task which takes a given time looks at the clock: a sleep ends too late."""


def take(microseconds: int) -> int:
    """Take so much time, exactly, and give the number back.

    Nearly all of it is slept, so that it takes no longer where others use the CPUs as well.
    """
    end = perf_counter_ns() + 1000 * microseconds
    if microseconds > AWAKE:
        sleep((microseconds - AWAKE) * 1e-6)
    while perf_counter_ns() < end:
        pass
    return microseconds
