"""A child that closes all descriptors, opens files in their places, and then uses a name."""

from __future__ import annotations

import multiprocessing
import os


def child() -> None:
    os.closerange(3, 100)
    files = [os.memfd_create(str(number)) for number in range(50)]
    multiprocessing.parent_process()
    print("bytes written to the child's files:", sum(os.fstat(file).st_size for file in files))


if __name__ == "__main__":
    process = multiprocessing.Process(target=child)
    process.start()
    process.join()
