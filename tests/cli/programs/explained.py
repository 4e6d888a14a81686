"""Uses some names, one of them in a child only, and ends as the argument says."""

from __future__ import annotations

import concurrent.futures
import logging
import multiprocessing
import sys
from multiprocessing import shared_memory
from multiprocessing.pool import ThreadPool


def child() -> None:
    multiprocessing.parent_process()
    print("child done", flush=True)


if __name__ == "__main__":
    logging.getLogger(__name__).warning("it is logging that asks for the current process's name")
    print(concurrent.futures.ProcessPoolExecutor.__name__, shared_memory.__name__ != "", flush=True)
    queue = multiprocessing.get_context("fork").Queue()
    queue.close()
    ThreadPool(1).terminate()
    multiprocessing.Process(target=child).start()
    if sys.argv[1] == "fail":
        raise ValueError("wrong")
    if sys.argv[1] == "exit":
        sys.exit(3)
