"""joblib's backends; each is used as in ``with parallel_config(backend=...)``."""

from __future__ import annotations

from typing import ClassVar, Self

import joblib

from benchmarks.contract import Rival


class Backend(Rival):
    """A backend, in force from its opening to its end."""

    distribution = "joblib"
    name: ClassVar[str]

    def __init__(self) -> None:
        self._config = joblib.parallel_config(backend=self.name)

    @classmethod
    def open(cls, workers: int) -> Self:
        return cls()

    def close(self) -> None:
        self._config.unregister()
