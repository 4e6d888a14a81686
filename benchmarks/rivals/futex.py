"""The floor: one word there and back between two processes that sleep on futexes, in C, no spin.

It runs nothing and pickles nothing. The C is compiled when it is needed; it is called through
ctypes, so about a microsecond of the figure is Python.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from benchmarks import contract
from benchmarks.contract import Function

SOURCE = Path(__file__).with_suffix(".c")
ATOMICS = SOURCE.parents[2] / "core"
SIZE = 32
"""Bytes of ``struct words``, at least."""

COMPILER = shutil.which("cc") or ""
if not COMPILER:
    raise ModuleNotFoundError("no C compiler 'cc' in the path")


def compiled() -> ctypes.CDLL:
    """The C, as a library of this process."""
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as directory:
        library = str(Path(directory, "futex.so"))
        options = ["-std=c11", "-D_GNU_SOURCE", "-O2", "-shared", "-fPIC", f"-I{ATOMICS}"]
        subprocess.run([COMPILER, *options, "-o", library, str(SOURCE)], check=True)
        found = ctypes.CDLL(library)
    found.round_trip.argtypes = [ctypes.c_void_p, ctypes.c_int64]
    found.round_trip.restype = ctypes.c_int64
    for function in (found.serve, found.finish):
        function.argtypes = [ctypes.c_void_p]
        function.restype = None
    return found


class Rival(contract.PoolRival):
    title = "C futex ping-pong, no spin"

    def __init__(self, library: ctypes.CDLL) -> None:
        self.memory = mmap.mmap(-1, SIZE)
        self.words = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        self.library = library
        self.partner = os.fork()
        if self.partner == 0:
            library.serve(self.words)
            os._exit(0)

    @classmethod
    def open(cls, workers: int) -> Rival:
        return cls(compiled())

    def close(self) -> None:
        self.library.finish(self.words)
        os.waitpid(self.partner, 0)

    def round_trip(self, function: Function, argument: int) -> int:
        value: int = self.library.round_trip(self.words, argument)
        return value
