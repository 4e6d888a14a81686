"""Processes by the start method that the argument names."""

from __future__ import annotations

import multiprocessing as mp
import sys
from typing import Any


def square(number: int) -> int:
    return number * number


def tell(queue: Any, go_on: Any) -> None:
    queue.put((mp.current_process().name, mp.get_start_method(), mp.parent_process() is not None))
    go_on.wait()


def start_another(queue: Any) -> None:
    child = mp.Process(target=queue.put, args=(1,))
    child.start()
    child.join()
    queue.put(child.name)


class Teller(mp.Process):
    def __init__(self, word: str) -> None:
        super().__init__()
        self.word = word

    def run(self) -> None:
        print(self.word, mp.current_process().name, mp.current_process() is self, flush=True)


if __name__ == "__main__":
    method = sys.argv[1]
    print(sorted(mp.get_all_start_methods()), mp.get_start_method(allow_none=True))
    mp.set_start_method(method)
    print(mp.get_start_method(), mp.get_context().get_start_method())
    queue: Any = mp.Queue()
    go_on = mp.Event()
    child = mp.Process(target=tell, args=(queue, go_on), daemon=True)
    child.start()
    print(queue.get(), child.is_alive(), mp.active_children() == [child])
    go_on.set()
    child.join()
    print(child.exitcode, mp.active_children())
    teller = Teller("hello")
    teller.start()
    teller.join()
    own_queue: Any = mp.SimpleQueue()
    never = mp.Event()
    victim = mp.Process(target=tell, args=(own_queue, never))
    victim.start()
    print(own_queue.get())
    victim.terminate()
    victim.join()
    print(victim.exitcode, victim.name)
    victim.close()
    child = mp.Process(target=start_another, args=(queue,))
    child.start()
    print(queue.get(), queue.get())
    child.join()
    with mp.Pool(2) as pool:
        print(pool.map(square, [1, 2, 3]))
    with mp.get_context(method).Pool(1) as pool:
        print(pool.apply(square, (4,)))
    child = mp.Process(target=sys.exit, args=(4,))
    child.start()
    child.join()
    print(child.exitcode)
    # Neither is joined: one is terminated at the end, the other waited for.
    mp.Process(target=never.wait, daemon=True).start()
    mp.Process(target=print, args=("last",)).start()
