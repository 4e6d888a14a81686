"""What is not encoded: threads hand objects over as they are; of results, plain values too."""

from __future__ import annotations

from typing import Any

from procession._core import pack_numbers, unpack_numbers


class Given:
    """A value, or what was raised instead of one."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __len__(self) -> int:
        """Bytes on the way."""
        return 0


class GivenOutcomes:
    """What came of the items of a chunk.

    Attributes:
        values: one for each item that was run; None where it failed.
        failures: what was raised, by the item's place.
    """

    __slots__ = ("failures", "values")

    def __init__(self, values: list[Any], failures: dict[int, BaseException]) -> None:
        self.values = values
        self.failures = failures

    def __len__(self) -> int:
        """Bytes on the way."""
        return 0

    def __reduce__(self) -> tuple[Any, ...]:
        numbers = None if self.failures else pack_numbers(self.values)
        if numbers is not None:
            return _of_numbers, (numbers,)
        return GivenOutcomes, (self.values, self.failures)


def _of_numbers(packed: bytes) -> GivenOutcomes:
    return GivenOutcomes(unpack_numbers(packed), {})
