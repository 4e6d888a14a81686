"""A rival whose tasks never end; nor does the process that its worker is."""

from __future__ import annotations

import os
import signal

from benchmarks import contract
from benchmarks.contract import Function


class Rival(contract.PoolRival):
    title = "one that hangs"

    @classmethod
    def open(cls, workers: int) -> Rival:
        for _ in range(workers):
            if os.fork() == 0:
                while True:
                    signal.pause()
        return cls()

    def close(self) -> None:
        pass

    def round_trip(self, function: Function, argument: int) -> int:
        while True:
            signal.pause()
