"""Whose Process there is: here, in children, and in an interpreter of the program's own."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from typing import Any

TEXT = "import multiprocessing; print('other', multiprocessing.Process.__module__)"


def tell(place: str) -> None:
    print(place, multiprocessing.Process.__module__, flush=True)


if __name__ == "__main__":
    tell("here")
    for method in ("fork", "spawn", "forkserver"):
        context: Any = multiprocessing.get_context(method)
        child = context.Process(target=tell, args=(method,))
        child.start()
        child.join()
    subprocess.run([sys.executable, "-c", TEXT], check=True)
