"""Objects that the standard library has, and processes that procession starts."""

from __future__ import annotations

import logging
import multiprocessing as mp
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import connection, managers, shared_memory
from multiprocessing.pool import ThreadPool
from typing import Any


def square(number: int) -> int:
    return number * number


def use_all(
    queue: Any, lock: Any, value: Any, array: Any, shared: Any, barrier: Any, name: str, end: Any
) -> None:
    with lock:
        value.value += 1
        array[0] += 2
    shared[mp.current_process().name] = square(3)
    memory: Any = shared_memory.SharedMemory(name=name)
    memory.buf[0] = 7
    memory.close()
    end.send(("sent", mp.current_process().name))
    barrier.wait()
    queue.put(mp.parent_process().name)  # type: ignore[union-attr]


def manage(queue: Any) -> None:
    """A child with a manager and a child of its own, not joined."""
    manager = mp.Manager()
    numbers = manager.list([1])
    child = mp.Process(target=numbers.append, args=(2,))
    child.start()
    child.join()
    queue.put(list(numbers))


def execute(queue: Any) -> None:
    with ProcessPoolExecutor(1) as executor:
        queue.put(list(executor.map(square, [4])))


def process_name(_: object) -> str:
    return mp.current_process().name


class Numbers(managers.BaseManager): ...


Numbers.register("square", square)


if __name__ == "__main__":
    queue: Any = mp.Queue()
    lock, barrier = mp.Lock(), mp.Barrier(2)
    value, array = mp.Value("i", 0), mp.Array("i", 3)
    ours, theirs = mp.Pipe()
    manager = mp.Manager()
    shared = manager.dict()
    memory: Any = shared_memory.SharedMemory(create=True, size=10)
    rest = (queue, lock, value, array, shared, barrier, memory.name, theirs)
    children = [mp.Process(target=use_all, args=rest) for _ in range(2)]
    for child in children:
        child.start()
    print(queue.get(), queue.get(), sorted([ours.recv(), ours.recv()]))
    for child in children:
        child.join()
    print([child.exitcode for child in children], value.value, array[:], memory.buf[0])
    print(sorted(shared.items()), len(mp.active_children()))
    memory.close()
    memory.unlink()

    for target in (manage, execute):
        child = mp.Process(target=target, args=(queue,))
        child.start()
        print(queue.get())
        child.join()
        print(child.exitcode)
    print(connection.wait([child.sentinel]) == [child.sentinel])
    with Numbers() as own_manager:
        print(own_manager.square(9))  # type: ignore[attr-defined]
    with mp.get_context("fork").Manager() as another:
        print(another.list([1, 2]))
    # A proxy that travels is given the key of the process that it arrives in.
    numbers = manager.list([5])
    queue.put(numbers)
    print(queue.get()[0])
    with ThreadPool(2) as threads:
        print(threads.map(square, [1, 2]))
    for context in (None, mp.get_context("fork")):
        with ProcessPoolExecutor(1, mp_context=context) as executor:
            print(list(executor.map(square, [1, 2])), list(executor.map(process_name, [0])))
    small = mp.get_context("fork").SimpleQueue()
    small.put(5)
    print(small.get())
    logging.basicConfig(format="%(processName)s %(message)s", stream=sys.stdout, level="INFO")
    logging.getLogger(__name__).info("logged")
