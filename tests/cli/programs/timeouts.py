"""A wait of the standard library's ends in the error that the program knows by its own name."""

from __future__ import annotations

import multiprocessing
from multiprocessing.pool import ThreadPool
from threading import Event


def main() -> None:
    never = Event()
    with ThreadPool(1) as pool:
        result = pool.apply_async(never.wait)
        try:
            result.get(timeout=0.01)
        except multiprocessing.TimeoutError as error:
            print("caught", isinstance(error, multiprocessing.ProcessError))
        never.set()


if __name__ == "__main__":
    main()
