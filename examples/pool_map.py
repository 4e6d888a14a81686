"""One function over many values, spread over a pool of five worker processes.

python examples/pool_map.py
"""

from __future__ import annotations

from procession import Pool


def f(x: int) -> int:
    """The work: it is run in a worker, and its result comes back to where map() was called."""
    return x * x


if __name__ == "__main__":
    with Pool(5) as p:
        print(p.map(f, [1, 2, 3]))
