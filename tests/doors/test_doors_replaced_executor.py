"""What a child imports first, where somebody has put our executor in the place of the library's."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import importlib, importlib.abc, importlib.util, sys

class Replacing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "concurrent.futures.process":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            module.ProcessPoolExecutor = importlib.import_module("procession.futures").Executor

        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Replacing())
import {first}
from concurrent.futures import ProcessPoolExecutor
print(ProcessPoolExecutor.__module__)
"""


# A spawned worker begins with its own modules. The process of a manager, whose pools are ours,
# begins with the pool's, and a child that unpickles what belongs to a pool with the engine's.
FIRST = [
    "procession._worker.loop",
    "procession.pool",
    "procession.backends",
    "procession._engine.results",
]


@pytest.mark.parametrize("first", FIRST)
def test_the_library_s_executor_may_be_replaced_when_it_is_imported(first: str) -> None:
    command = [sys.executable, "-c", PROGRAM.format(first=first)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stderr, done.stdout) == ("", "procession.futures\n")
