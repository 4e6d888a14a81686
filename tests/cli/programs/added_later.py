"""A name that procession gets one day."""

from __future__ import annotations

import multiprocessing
from multiprocessing import pool
from typing import Any

import procession
import procession.pool

for package in (procession, procession.pool):
    package.__all__.append("Futurama")
    package.Futurama = "from " + package.__name__  # type: ignore[attr-defined]
procession._BORROWED.remove("get_logger")
procession.get_logger = "ours"

names: Any = multiprocessing, pool
print(names[0].Futurama, names[1].Futurama, names[0].get_logger)
