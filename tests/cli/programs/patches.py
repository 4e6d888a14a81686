"""Changes what it finds in submodules, and their own functions see the change."""

from __future__ import annotations

import multiprocessing
from multiprocessing import util
from typing import Any
from unittest import mock


class Notes:
    def log(self, level: int, message: str, *args: Any, **options: Any) -> None:
        print("logged", message, flush=True)


def no_pool(*args: Any) -> str:
    return "no pool"


if __name__ == "__main__":
    with mock.patch("multiprocessing.util._logger", Notes()):
        util.info("what is to be known")
    with mock.patch("multiprocessing.Pool", no_pool):
        print(multiprocessing.Pool(1))
    with multiprocessing.Pool(1) as pool:
        print(pool.apply(abs, (-1,)))
