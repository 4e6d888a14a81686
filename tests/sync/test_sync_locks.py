"""Locks: as the standard library's, but fair, and no one waits for the dead."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import procession
from procession._sync.locks import Lock, RLock
from procession.errors.sync import OwnerDied
from tests.sync.forks import Forked, run_forked, shared_numbers
from tests.sync.kinds import Kinds

METHODS = ("fork", "spawn", "forkserver")
BOTH = pytest.mark.parametrize("lock_type", [Lock, RLock])


@pytest.fixture(params=["stdlib", "procession"])
def kinds(request: pytest.FixtureRequest) -> Kinds:
    """What both must do alike."""
    return Kinds(ours=request.param == "procession")


def in_a_thread(call: Callable[[], Any]) -> Any:
    """What it returns, or the exception that it raises, in another thread."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(call())
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return outcome[0]


# ---- what the standard library's do, too ----


def test_a_lock_is_taken_once(kinds: Kinds) -> None:
    lock = kinds.Lock()
    assert lock.acquire() is True
    assert lock.acquire(False) is False
    assert lock.acquire(block=False) is False
    assert lock.acquire(True, 0) is False
    assert lock.acquire(timeout=-1) is False
    assert lock.release() is None
    with pytest.raises(ValueError, match="^semaphore or lock released too many times$"):
        lock.release()
    with lock as taken:
        assert taken is True
        assert lock.acquire(False) is False
    assert lock.acquire(False) is True
    assert in_a_thread(lock.release) is None  # whoever does it
    assert lock.acquire(timeout=0.5) is True
    lock.release()


def test_waiting_takes_as_long_as_it_should(kinds: Kinds) -> None:
    for lock in (kinds.Lock(), kinds.RLock()):
        with lock:
            for timeout in (0.001, 0.03):
                before = time.monotonic()
                assert in_a_thread(lambda: lock.acquire(timeout=timeout)) is False  # noqa: B023
                assert time.monotonic() - before >= timeout


def test_a_recursive_lock_is_its_threads(kinds: Kinds) -> None:
    lock = kinds.RLock()
    refused = "^attempt to release recursive lock not owned by thread$"
    with pytest.raises(AssertionError, match=refused):
        lock.release()
    with lock:
        assert lock.acquire() is True
        assert lock.acquire(False) is True
        assert in_a_thread(lambda: lock.acquire(False)) is False
        assert isinstance(in_a_thread(lock.release), AssertionError)
        lock.release()
        lock.release()
        assert in_a_thread(lambda: lock.acquire(False)) is False
    with pytest.raises(AssertionError, match=refused):
        lock.release()


def test_how_they_look(kinds: Kinds) -> None:
    lock, recursive = kinds.Lock(), kinds.RLock()
    assert (repr(lock), repr(recursive)) == ("<Lock(owner=None)>", "<RLock(None, 0)>")
    name = kinds.process_name()
    with lock, recursive, recursive:
        assert repr(lock) == f"<Lock(owner={name})>"
        assert repr(recursive) == f"<RLock({name}, 2)>"
        assert in_a_thread(lambda: repr(lock)) == "<Lock(owner=SomeOtherThread)>"
        assert in_a_thread(lambda: repr(recursive)) == "<RLock(SomeOtherThread, nonzero)>"
        assert run_forked(lambda: repr(lock)) == "<Lock(owner=SomeOtherProcess)>"
        assert run_forked(lambda: repr(recursive)) == "<RLock(SomeOtherProcess, nonzero)>"

    def in_another_thread() -> str:
        threading.current_thread().name = "Other"
        with lock:
            return repr(lock)

    assert in_a_thread(in_another_thread) == f"<Lock(owner={name}|Other)>"


def test_a_forked_child_has_not_what_its_parent_has(kinds: Kinds) -> None:
    lock, recursive = kinds.Lock(), kinds.RLock()
    with lock, recursive:
        assert run_forked(lambda: lock.acquire(False) or recursive.acquire(False)) is False
        assert "not owned by thread" in run_forked(lambda: raised_by(recursive.release))
        assert run_forked(lock.release) is None  # any process may
        assert lock.acquire(False) is True


def raised_by(call: Callable[[], Any]) -> str:
    """What it says as it fails."""
    try:
        call()
    except Exception as error:
        return str(error)
    return ""


def test_processes_and_threads_exclude_each_other(kinds: Kinds) -> None:
    lock, numbers = kinds.Lock(), shared_numbers(1)

    def add() -> None:
        for _ in range(300):
            with lock:
                before = numbers[0]
                time.sleep(0)
                numbers[0] = before + 1

    def add_in_threads() -> None:
        threads = [threading.Thread(target=add) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    children = [Forked(add_in_threads) for _ in range(2)]
    for child in children:
        child.result()
    assert numbers[0] == 2 * 2 * 300


def test_a_signal_handler_runs_while_one_waits(kinds: Kinds) -> None:
    """What it raises ends the waiting; what it does not raise, lets it go on."""
    runs: list[int] = []

    def handler(number: int, frame: object) -> None:
        runs.append(number)
        if len(runs) == 3:
            raise InterruptedError

    before = signal.signal(signal.SIGUSR1, handler)
    done = threading.Event()

    def send() -> None:
        while not done.wait(0.002):
            os.kill(os.getpid(), signal.SIGUSR1)

    lock = kinds.Lock()
    sender = threading.Thread(target=send)
    try:
        with lock:
            sender.start()
            with pytest.raises(InterruptedError):
                lock.acquire()
            done.set()
            sender.join()
    finally:
        done.set()
        sender.join()
        signal.signal(signal.SIGUSR1, before)
    assert len(runs) >= 3
    assert lock.acquire(False) is True


# ---- what only ours do ----


def take_and_stay(lock: Any, ready: Any) -> None:
    """Take it, tell, and wait to be killed."""
    lock.acquire()
    ready.send(None)
    signal.pause()


@pytest.fixture(params=METHODS)
def dead_owner(request: pytest.FixtureRequest) -> Callable[[Any], int]:
    """Have a process of each start method take a lock and die; its process id."""
    context: Any = procession.get_context(request.param)

    def die_with(lock: Any) -> int:
        here, there = context.Pipe(False)
        process = context.Process(target=take_and_stay, args=(lock, there), name="Taker")
        process.start()
        there.close()
        here.recv()
        here.close()
        pid: int = process.pid
        os.kill(pid, signal.SIGKILL)
        process.join()
        process.close()
        return pid

    return die_with


@BOTH
def test_whoever_asks_is_told_of_a_death_until_the_lock_is_recovered(
    lock_type: type[Lock | RLock], dead_owner: Callable[[Any], int]
) -> None:
    lock = lock_type()
    pid = dead_owner(lock)
    for arguments in ((), (False,), (True, 5), ()):
        with pytest.raises(OwnerDied) as told:
            lock.acquire(*arguments)
        assert (told.value.thing, told.value.pid) == (lock_type.__name__, pid)
        assert told.value.name == "Taker"
        assert told.value.place.startswith("take_and_stay (test_sync_locks.py:")
    with pytest.raises(OwnerDied), lock:
        pass
    assert lock.locked()
    assert lock.recover() is True
    assert lock.recover() is False  # it is ours, and we live
    assert in_a_thread(lambda: lock.acquire(False)) is False
    lock.release()
    assert lock.acquire(False) is True
    lock.release()
    assert lock.recover() is False  # it is free


def test_a_dead_ones_lock_may_be_freed_without_looking(dead_owner: Callable[[Any], int]) -> None:
    lock = Lock()
    dead_owner(lock)
    lock.release()
    assert lock.acquire(False) is True
    recursive = RLock()
    dead_owner(recursive)
    with pytest.raises(AssertionError, match="not owned by thread"):
        recursive.release()


@BOTH
def test_an_owner_that_just_ends_counts_as_dead(lock_type: type[Lock | RLock]) -> None:
    lock = lock_type()
    assert run_forked(lock.acquire) is True
    with pytest.raises(OwnerDied):
        lock.acquire()
    assert lock.recover() is True


def test_all_that_wait_are_told_and_one_recovers() -> None:
    lock = Lock()

    def own() -> None:
        lock.acquire()
        signal.pause()

    def wait() -> str:
        try:
            lock.acquire()
        except OwnerDied:
            return "recovered" if lock.recover() else "told"
        return "taken"

    owner = Forked(own)
    while not lock.locked():
        time.sleep(0.001)
    waiters = [Forked(wait) for _ in range(4)]
    owner.kill()
    outcomes = [waiter.result() for waiter in waiters]
    # One may come so late that another one has recovered it, and ended: that is a death, too.
    assert "recovered" in outcomes
    assert set(outcomes) <= {"recovered", "told"}


def test_the_place_is_the_last_one() -> None:
    """Of several in one function, and of several functions."""
    lock = Lock()

    def own() -> None:
        with lock:
            pass
        lock.acquire()

    def own_otherwise() -> None:
        with lock:
            pass
        own()

    line = own.__code__.co_firstlineno + 3
    run_forked(own_otherwise)
    with pytest.raises(OwnerDied) as told:
        lock.acquire()
    name = "test_the_place_is_the_last_one.<locals>.own"
    assert told.value.place == f"{name} (test_sync_locks.py:{line})"


@pytest.mark.watchdog(120)
@BOTH
def test_each_of_many_gets_its_share(lock_type: type[Lock | RLock]) -> None:
    """Eight processes want it all the time, until each has had it so many times."""
    lock, shares = lock_type(), shared_numbers(8)

    def hammer(me: int) -> None:
        while min(shares) < 10:
            with lock:
                shares[me] += 1

    children = [Forked(lambda: hammer(me)) for me in range(8)]  # noqa: B023
    for child in children:
        child.result()
    assert min(shares) >= 10


def test_a_waiter_of_the_same_process_does_not_hold_its_owner_up() -> None:
    """The owner needs the interpreter to let go of the lock."""
    lock, turns = Lock(), []

    def take(me: int) -> None:
        for _ in range(50):
            with lock:
                turns.append(me)
                time.sleep(0)

    threads = [threading.Thread(target=take, args=(me,)) for me in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(turns) == [me for me in range(4) for _ in range(50)]


@BOTH
def test_a_copy_is_the_same_lock(lock_type: type[Lock | RLock]) -> None:
    lock = lock_type()
    with lock:
        copy = pickle.loads(pickle.dumps(lock))
        assert copy._is_mine()
        assert in_a_thread(lambda: copy.acquire(False)) is False
    assert type(copy) is lock_type


def test_a_lock_that_was_not_made_says_so() -> None:
    class Forgetful(Lock):
        def __init__(self) -> None:
            pass

    with pytest.raises(RuntimeError, match="__init__"):
        Forgetful().acquire()


@pytest.mark.parametrize("arguments", [(1, 2, 3), (True, "soon")])
def test_wrong_arguments_are_refused(arguments: tuple[Any, ...]) -> None:
    lock = Lock()
    with pytest.raises(TypeError):
        lock.acquire(*arguments)
    with pytest.raises(TypeError):
        lock.acquire(True, block=True)  # type: ignore[misc]
    with pytest.raises(TypeError):
        lock.acquire(wait=True)  # type: ignore[call-arg]
    assert not lock.locked()
