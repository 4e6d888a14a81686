"""A thread lets its lock go while it waits for another one."""

from __future__ import annotations

import threading

import pytest

from procession._engine.holding import let_go


def _is_free(lock: threading.RLock) -> bool:
    found: list[bool] = []

    def look() -> None:
        found.append(lock.acquire(blocking=False))
        if found[0]:
            lock.release()

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.parametrize("times", [0, 1, 3])
def test_others_get_it_meanwhile(times: int) -> None:
    lock = threading.RLock()
    for _ in range(times):
        lock.acquire()
    with let_go(lock):
        assert _is_free(lock)
    assert _is_free(lock) == (times == 0)
    for _ in range(times):
        lock.release()
    assert _is_free(lock)


def test_it_is_taken_back_behind_an_error() -> None:
    lock = threading.RLock()
    with lock:
        with pytest.raises(KeyError), let_go(lock):
            raise KeyError
        assert not _is_free(lock)
    assert _is_free(lock)
