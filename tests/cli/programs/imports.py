"""Every way to import it, and whose each thing is."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import multiprocessing.dummy.connection
import multiprocessing.pool
import multiprocessing.process as processes
import sys
from importlib import import_module
from multiprocessing import (
    Pool,
    Process,
    Queue,
    connection,
    context,
    managers,
    queues,
    shared_memory,
    synchronize,
    util,
)
from multiprocessing.context import BaseContext, SpawnContext
from multiprocessing.dummy import Pool as DummyPool
from multiprocessing.pool import Pool as PoolClass
from multiprocessing.pool import ThreadPool
from multiprocessing.process import current_process
from typing import Any


def whose(thing: object) -> str:
    name = str(getattr(thing, "__module__", None) or getattr(thing, "__name__", ""))
    return "stdlib" if name.startswith("procession._stdlib") else name.partition(".")[0]


if __name__ == "__main__":
    star: dict[str, object] = {}
    exec("from multiprocessing import *", star)
    print(sorted(star.keys() - {"__builtins__"}))
    for name, thing in {
        "Process": Process,
        "star Process": star["Process"],
        "pool.Pool": PoolClass,
        "context.BaseContext": BaseContext,
        "process.current_process": current_process,
        "get_context('fork').Process": multiprocessing.get_context("fork").Process,
        "ThreadPool": ThreadPool,
        "SpawnContext": SpawnContext,
        "managers": managers,
        "queues": queues,
        "shared_memory": shared_memory,
        "synchronize": synchronize,
        "util": util,
    }.items():
        print(name, whose(thing), file=sys.stderr)
    print(connection is multiprocessing.connection, sys.modules["multiprocessing.util"] is util)
    print(multiprocessing.pool.Pool is PoolClass, multiprocessing.pool.ThreadPool is ThreadPool)
    print(processes.current_process is current_process, multiprocessing.process is processes)
    print(multiprocessing.dummy.Pool is DummyPool, context is multiprocessing.context)
    print(Pool == multiprocessing.Pool, Queue == multiprocessing.Queue)
    print(hasattr(multiprocessing, "nothing"), hasattr(multiprocessing.pool, "nothing"))
    for module in ("multiprocessing.nothing", "multiprocessing.pool.nothing"):
        try:
            import_module(module)
        except ModuleNotFoundError as error:
            print(error)
    holders: list[Any] = [
        multiprocessing,
        multiprocessing.pool,
        multiprocessing.get_context("fork"),
    ]
    for holder in holders:
        try:
            _ = holder.nothing
        except AttributeError as error:
            print(error)
    for method in ("nothing", ""):
        try:
            multiprocessing.get_context(method)
        except ValueError as error:
            print(error)
