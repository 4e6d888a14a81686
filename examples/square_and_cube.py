"""Two functions at the same time, each in a process of its own.

python examples/square_and_cube.py
"""

from __future__ import annotations

import procession as multiprocessing


def print_square(number: int) -> None:
    """One process runs this."""
    print(f"Square: {number * number}")


def print_cube(number: int) -> None:
    """And the other one this."""
    print(f"Cube: {number * number * number}")


if __name__ == "__main__":
    first = multiprocessing.Process(target=print_square, args=(10,))
    second = multiprocessing.Process(target=print_cube, args=(10,))

    first.start()
    second.start()

    # Both run now, in any order. join() waits until a process has ended.
    first.join()
    second.join()

    print("Done!")
