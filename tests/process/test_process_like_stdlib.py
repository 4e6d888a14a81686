"""What our Process has in common with the standard library's; each test runs on both."""

from __future__ import annotations

import faulthandler
import os
import pickle
import selectors
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing import connection
from typing import Any

import pytest

from tests.plugins.scripts import LIMIT


def _in_child(mp: Any, function: Callable[[], object], **options: Any) -> str:
    """The text that `function` returns in a child."""
    read, write = os.pipe()

    def send() -> None:
        os.write(write, str(function()).encode())

    process = mp.Process(target=send, **options)
    process.start()
    os.close(write)
    with open(read) as pipe:
        text = pipe.read()
    process.join(LIMIT)
    assert process.exitcode == 0
    return text


def _ended(mp: Any, target: Callable[..., object], *args: object) -> Any:
    process = mp.Process(target=target, args=args)
    process.start()
    process.join(LIMIT)
    return process


@pytest.fixture
def endless(mp: Any) -> Any:
    """A started process that runs until it gets a signal."""
    process = mp.Process(target=signal.pause)
    process.start()
    yield process
    process.kill()
    process.join(LIMIT)


# Life


def test_target_gets_its_arguments(mp: Any) -> None:
    read, write = os.pipe()

    def target(*args: object, **kwargs: object) -> None:
        os.write(write, repr((args, kwargs)).encode())

    process = mp.Process(target=target, args=[1, 2], kwargs={"x": 3})
    process.start()
    process.join(LIMIT)
    assert os.read(read, 1000) == b"((1, 2), {'x': 3})"
    os.close(read)
    os.close(write)


def test_states_from_start_to_close(mp: Any) -> None:
    read, write = os.pipe()
    process = mp.Process(target=os.read, args=(read, 1))
    assert (process.pid, process.ident, process.exitcode) == (None, None, None)
    assert not process.is_alive()
    process.start()
    assert process.is_alive()
    assert process.pid == process.ident
    assert isinstance(process.pid, int)
    assert process.exitcode is None
    assert process in mp.active_children()
    os.write(write, b"x")
    process.join(LIMIT)
    assert not process.is_alive()
    assert process.exitcode == 0
    assert process not in mp.active_children()
    process.close()
    os.close(read)
    os.close(write)


def test_join_ends_at_its_timeout(mp: Any, endless: Any) -> None:
    for timeout in (0, 0.01, -1):
        assert endless.join(timeout) is None
        assert endless.is_alive()
        assert endless.exitcode is None


def test_terminate_and_kill(mp: Any) -> None:
    for action, signum in (("terminate", signal.SIGTERM), ("kill", signal.SIGKILL)):
        process = mp.Process(target=signal.pause)
        process.start()
        getattr(process, action)()
        process.join(LIMIT)
        assert process.exitcode == -signum
        getattr(process, action)()  # no error when it has ended


def test_subclass_overrides_run(mp: Any) -> None:
    read, write = os.pipe()

    class Writer(mp.Process):  # type: ignore[misc]
        def __init__(self, text: bytes) -> None:
            super().__init__()
            self.text = text

        def run(self) -> None:
            os.write(write, self.text)

    process = Writer(b"run")
    assert process.name.startswith("Writer-")
    process.start()
    process.join(LIMIT)
    assert os.read(read, 10) == b"run"
    os.close(read)
    os.close(write)


def test_process_without_target_ends_with_zero(mp: Any) -> None:
    process = mp.Process()
    process.start()
    process.join(LIMIT)
    assert process.exitcode == 0


def test_active_children_reaps(mp: Any) -> None:
    process = mp.Process()
    process.start()
    # Not the sentinel: the stdlib's is closed a moment before the process has ended.
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert process not in mp.active_children()
    with pytest.raises(ChildProcessError):
        os.waitpid(process.pid, os.WNOHANG)


def test_target_is_released_by_start(mp: Any) -> None:
    process = mp.Process(target=int)
    process.start()
    process.join(LIMIT)
    assert not hasattr(process, "_target")


# Exit codes


@pytest.mark.parametrize(
    ("value", "code"),
    [(None, 0), (0, 0), (7, 7), (255, 255), (256, 0), (300, 44), (-1, 255), (True, 1), ("no", 1)],
)
def test_exit_code_of_sys_exit(mp: Any, value: object, code: int) -> None:
    assert _ended(mp, sys.exit, value).exitcode == code


def test_exit_code_of_an_exception(mp: Any) -> None:
    assert _ended(mp, divmod, 1, 0).exitcode == 1


def test_exit_code_of_os_exit(mp: Any) -> None:
    assert _ended(mp, os._exit, 42).exitcode == 42


@pytest.mark.parametrize(
    "signum", [signal.SIGABRT, signal.SIGSEGV, signal.SIGTERM, signal.SIGUSR1, signal.SIGRTMIN + 1]
)
def test_exit_code_and_repr_of_a_signal(mp: Any, signum: int) -> None:
    def die() -> None:
        faulthandler.disable()  # the test runner's: it would print the stack
        os.kill(os.getpid(), signum)

    process = _ended(mp, die)
    assert process.exitcode == -signum
    name = signal.Signals(signum).name if signum < signal.SIGRTMIN else signum
    assert repr(process).endswith(f"exitcode=-{name}>")


# Names and the family


def test_default_names_count_children(mp: Any) -> None:
    first, second = mp.Process(), mp.Process()
    kind, _, number = first.name.rpartition("-")
    assert kind == "ForkProcess"
    assert second.name == f"{kind}-{int(number) + 1}"
    assert mp.Process(name="mine").name == "mine"


def test_names_of_children_of_children(mp: Any) -> None:
    names = _in_child(mp, lambda: (mp.Process().name, mp.Process().name), name="x")
    number = int(mp.Process().name.rpartition("-")[2]) - 1
    assert names == str((f"ForkProcess-{number}:1", f"ForkProcess-{number}:2"))


def test_grandchildren_run(mp: Any) -> None:
    assert _in_child(mp, lambda: _in_child(mp, lambda: _in_child(mp, lambda: "deep"))) == "deep"


def test_current_process_in_main_and_child(mp: Any) -> None:
    main = mp.current_process()
    assert main.name == "MainProcess"
    assert main.pid == main.ident == os.getpid()
    assert main.is_alive()
    assert main.exitcode is None
    assert main.daemon is False
    assert _in_child(mp, lambda: mp.current_process().name, name="child") == "child"
    assert _in_child(mp, lambda: mp.current_process().pid == os.getpid()) == "True"
    assert _in_child(mp, lambda: mp.current_process().is_alive()) == "True"


def test_parent_process(mp: Any) -> None:
    assert mp.parent_process() is None

    def look() -> object:
        parent = mp.parent_process()
        return parent.name, parent.pid, parent.ident, parent.exitcode, parent.daemon

    assert _in_child(mp, look) == str(("MainProcess", os.getpid(), os.getpid(), None, False))


def test_parent_process_is_alive_and_join(mp: Any) -> None:
    def look() -> object:
        parent = mp.parent_process()
        parent.join(timeout=0.001)
        return parent.is_alive(), connection.wait([parent.sentinel], 0)

    assert _in_child(mp, look) == "(True, [])"


def test_child_has_no_children(mp: Any, endless: Any) -> None:
    assert _in_child(mp, mp.active_children) == "[]"


def test_process_with_a_thread_in_the_parent(mp: Any) -> None:
    results: list[str] = []
    thread = threading.Thread(target=lambda: results.append(_in_child(mp, _main_thread_is_sane)))
    thread.start()
    thread.join(LIMIT)
    assert results == ["True"]


def _main_thread_is_sane() -> bool:
    main = threading.main_thread()
    return (
        main is threading.current_thread()
        and main.native_id == threading.get_native_id()
        and threading.active_count() == 1
    )


# Attributes


def test_name_must_be_a_string(mp: Any) -> None:
    process = mp.Process()
    process.name = "new"
    assert process.name == "new"
    with pytest.raises(AssertionError, match="^name must be a string$"):
        process.name = 1


def test_daemon_is_inherited(mp: Any) -> None:
    assert mp.Process().daemon is False
    assert mp.Process(daemon=True).daemon is True
    process = mp.Process()
    process.daemon = True
    assert process.daemon is True
    inside = _in_child(
        mp, lambda: (mp.Process().daemon, mp.Process(daemon=False).daemon), daemon=True
    )
    assert inside == "(True, False)"


def test_daemon_is_keyword_only(mp: Any) -> None:
    with pytest.raises(TypeError):
        mp.Process(None, None, None, (), {}, True)


def test_daemon_cannot_change_after_start(mp: Any, endless: Any) -> None:
    with pytest.raises(AssertionError, match="^process has already started$"):
        endless.daemon = True


def test_authkey_is_inherited_and_settable(mp: Any) -> None:
    process = mp.Process()
    assert len(process.authkey) >= 16
    assert process.authkey == mp.current_process().authkey
    process.authkey = b"new"
    assert process.authkey == b"new"
    assert mp.current_process().authkey != b"new"


def test_authkey_is_not_pickled(mp: Any) -> None:
    message = "^Pickling an AuthenticationString object is disallowed for security reasons$"
    with pytest.raises(TypeError, match=message):
        pickle.dumps(mp.current_process().authkey)
    with pytest.raises(TypeError, match=message):
        pickle.dumps(mp.Process())


def test_group_must_be_none(mp: Any) -> None:
    with pytest.raises(AssertionError, match="^group argument must be None for now$"):
        mp.Process(1)


def test_sentinel_is_ready_when_the_process_ended(mp: Any) -> None:
    read, write = os.pipe()
    process = mp.Process(target=os.read, args=(read, 1))
    with pytest.raises(ValueError, match="^process not started$"):
        process.sentinel  # noqa: B018
    process.start()
    assert isinstance(process.sentinel, int)
    selector = selectors.DefaultSelector()
    selector.register(process.sentinel, selectors.EVENT_READ)
    assert connection.wait([process.sentinel], 0) == []
    assert selector.select(0) == []
    os.write(write, b"x")
    assert connection.wait([process.sentinel], LIMIT) == [process.sentinel]
    assert len(selector.select(LIMIT)) == 1
    process.join(LIMIT)
    assert connection.wait([process.sentinel], 0) == [process.sentinel]
    selector.close()
    os.close(read)
    os.close(write)


def test_sentinel_of_a_sibling_works_in_a_child(mp: Any) -> None:
    first = mp.Process(target=signal.pause)
    first.start()
    second = mp.Process(target=connection.wait, args=([first.sentinel],))
    second.start()
    first.kill()
    second.join(LIMIT)
    assert second.exitcode == 0
    first.join(LIMIT)


def test_repr_in_all_states(mp: Any) -> None:
    process = mp.Process(target=signal.pause, name="p", daemon=True)
    parent = f"parent={os.getpid()}"
    assert repr(process) == f"<ForkProcess name='p' {parent} initial daemon>"
    process.start()
    pid = f"pid={process.pid}"
    assert repr(process) == f"<ForkProcess name='p' {pid} {parent} started daemon>"
    assert " unknown" in _in_child(mp, lambda: repr(process))
    process.terminate()
    process.join(LIMIT)
    ended = f"<ForkProcess name='p' {pid} {parent} stopped exitcode=-SIGTERM daemon>"
    assert repr(process) == ended
    process.close()
    assert repr(process) == f"<ForkProcess name='p' {parent} closed daemon>"
    assert repr(mp.current_process()) == "<_MainProcess name='MainProcess' parent=None started>"


# Misuse


def test_start_twice(mp: Any, endless: Any) -> None:
    with pytest.raises(AssertionError, match="^cannot start a process twice$"):
        endless.start()


def test_join_before_start(mp: Any) -> None:
    with pytest.raises(AssertionError, match="^can only join a started process$"):
        mp.Process().join()


def test_join_self(mp: Any) -> None:
    with pytest.raises(AssertionError, match="^can only join a child process$"):
        mp.current_process().join()


def test_terminate_before_start(mp: Any) -> None:
    for action in ("terminate", "kill"):
        with pytest.raises(AttributeError):
            getattr(mp.Process(), action)()


def test_another_process_may_not_use_the_object(mp: Any, endless: Any) -> None:
    unstarted = mp.Process()

    def messages() -> list[str]:
        texts = []
        for action in (unstarted.start, endless.join, endless.is_alive):
            try:
                action()
            except AssertionError as error:
                texts.append(str(error))
        return texts

    assert _in_child(mp, messages) == str(
        [
            "can only start a process object created by current process",
            "can only join a child process",
            "can only test a child process",
        ]
    )


def test_daemonic_processes_have_no_children(mp: Any) -> None:
    def attempt() -> str:
        try:
            mp.Process().start()
        except AssertionError as error:
            return str(error)
        return "started"

    message = "daemonic processes are not allowed to have children"
    assert _in_child(mp, attempt, daemon=True) == message
    assert _in_child(mp, attempt) == "started"


def test_close_of_a_running_process(mp: Any, endless: Any) -> None:
    message = "^Cannot close a process while it is still running. You should first call join"
    with pytest.raises(ValueError, match=message):
        endless.close()
    assert endless.is_alive()


def test_use_after_close(mp: Any) -> None:
    process = mp.Process()
    process.start()
    process.join(LIMIT)
    process.close()
    process.close()
    uses: list[Callable[[], object]] = [
        process.start,
        process.join,
        process.is_alive,
        process.terminate,
        process.kill,
        lambda: process.exitcode,
        lambda: process.pid,
        lambda: process.sentinel,
    ]
    for use in uses:
        with pytest.raises(ValueError, match="^process object is closed$"):
            use()


def test_close_of_an_unstarted_process(mp: Any) -> None:
    process = mp.Process()
    process.close()
    with pytest.raises(ValueError, match="^process object is closed$"):
        process.start()


def test_arguments_are_checked_when_the_object_is_made(mp: Any) -> None:
    with pytest.raises(TypeError):
        mp.Process(args=1)
    with pytest.raises((TypeError, ValueError)):
        mp.Process(kwargs=1)
