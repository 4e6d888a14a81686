"""What the workers are given to do: next to nothing, so that the way there and back is measured."""

from __future__ import annotations


def noop(value: int) -> int:
    """Give back what was given."""
    return value


def square(value: int) -> int:
    """The classic example of a map."""
    return value * value
