from __future__ import annotations

from multiprocessing import Pool


def f(x: int) -> int:
    return x * x


if __name__ == "__main__":
    with Pool(5) as p:
        print(p.map(f, [1, 2, 3]))
