"""Who is who, and who is still alive: process ids as the parent and the children see them.

python examples/process_ids.py
"""

from __future__ import annotations

import os

import procession as multiprocessing


def worker1() -> None:
    """In the first process."""
    print(f"ID of process running worker1: {os.getpid()}")


def worker2() -> None:
    """In the second process."""
    print(f"ID of process running worker2: {os.getpid()}")


if __name__ == "__main__":
    print(f"ID of main process: {os.getpid()}")

    p1 = multiprocessing.Process(target=worker1)
    p2 = multiprocessing.Process(target=worker2)

    p1.start()
    p2.start()

    # The ids that the parent has for its children are those that they print themselves.
    print(f"ID of process p1: {p1.pid}")
    print(f"ID of process p2: {p2.pid}")

    p1.join()
    p2.join()

    print("Both processes finished execution!")
    print(f"Process p1 is alive: {p1.is_alive()}")
    print(f"Process p2 is alive: {p2.is_alive()}")
