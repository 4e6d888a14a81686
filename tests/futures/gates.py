"""Tasks that tell when they begin, and wait until they may end."""

from __future__ import annotations

from typing import Any

from tests.pool.gates import Gate


class Stage:
    """Where tasks run under the eyes of a test.

    To be made before the workers, which inherit its descriptors.
    """

    def __init__(self) -> None:
        self._begun = Gate()
        self._may_end = Gate()

    def perform(self, value: Any = None) -> Any:
        """A task: says that it has begun, waits until it may end, and returns the value."""
        self._begun.open()
        self._may_end.pass_through()
        return value

    def await_beginning(self, tasks: int = 1) -> None:
        """Wait until so many tasks have begun."""
        for _ in range(tasks):
            self._begun.pass_through()

    def let_end(self, tasks: int = 1) -> None:
        """Let so many tasks end."""
        self._may_end.open(tasks)

    def close(self) -> None:
        """Give the descriptors back."""
        self._begun.close()
        self._may_end.close()
